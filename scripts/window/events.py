"""What the engine tells while it works: its events, a line of JSON each, as words of steps."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from scripts.window.clock import Heard, What

# A replacement is told twice; of the two this is the one that works.
WORKING = ("create", "update", "create-replacement")
STEP_TYPES = ("command:remote:Command", "command:remote:CopyToRemote", "command:local:Command")
# What takes long at AWS is watched like a step, its end too: an engine that waits for an instance is not one that stands still.
MACHINE_TYPES = ("aws:ec2/instance:Instance", "aws:ebs/volume:Volume", "aws:ec2/volumeAttachment:VolumeAttachment")
ENDING = ("delete", "delete-replaced")
WHAT = {"resourcePreEvent": What.BEGAN, "resOutputsEvent": What.DONE, "resOpFailedEvent": What.FAILED}
# Seconds to wait for an engine's last words after it has ended.
LAST_WORDS_SECONDS = 2.0

# An event as the engine writes it (apitype.EngineEvent): {"sequence", "timestamp", and one of the kinds}.
Event = Mapping[str, Any]


def heard(at: float, event: Event) -> Heard | None:
    """What a step of the program did, if the event tells of one; errors of no step come with an empty name. Pure."""
    if "diagnosticEvent" in event:
        return _diagnostic(at, event["diagnosticEvent"])
    for kind, what in WHAT.items():
        found = event.get(kind, {}).get("metadata", {})
        works = found.get("op") in WORKING and found.get("type") in (*STEP_TYPES, *MACHINE_TYPES)
        if works or (found.get("op") in ENDING and found.get("type") in MACHINE_TYPES):
            return Heard(at, _name(found["urn"]), what)
    return None


def _diagnostic(at: float, event: Mapping[str, str]) -> Heard | None:
    urn, text, severity = event.get("urn", ""), event.get("message", "").strip(), event.get("severity", "")
    step = _name(urn) if any(f"${kind}::" in urn for kind in STEP_TYPES) else ""
    if severity == "error":
        return Heard(at, step, What.FAILED, text)
    return Heard(at, step, What.SAID, text) if step and text and severity.startswith("info") else None


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


class Stream:
    """Where one `up` sends its events: `path` for its option --event-log, which leads to `end`, a pipe that it inherits."""

    def __init__(self, end: int, over: threading.Event) -> None:
        self.end = end
        self.path = f"/dev/fd/{end}"
        self._over = over

    def begun(self) -> None:
        """The `up` has the pipe: its end is the end of the events."""
        os.close(self.end)

    def hear_out(self) -> None:
        """Wait for the last words of an engine that has ended by itself."""
        self._over.wait(LAST_WORDS_SECONDS)


def stream(tell: Callable[[Event], None]) -> Stream:
    """Take the events of one `up`; `tell` is called on a thread of the stream's own.

    A pipe, and not the Automation API's gRPC: its modules take a second to import, and on the way back writes wait for that.
    """
    ours, its = os.pipe()
    over = threading.Event()

    def take() -> None:
        with os.fdopen(ours, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                # An engine that was killed leaves half a line.
                if line.endswith("\n"):
                    tell(json.loads(line))
        over.set()

    threading.Thread(target=take, daemon=True).start()
    return Stream(its, over)
