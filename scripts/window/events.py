"""What the engine tells while it works: its events, over the stream that the Automation API uses, as words of steps."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.automation import EngineEvent
from pulumi.automation.events import DiagnosticEvent, OpType
from pulumi.runtime.proto import events_pb2, events_pb2_grpc

from scripts.window.clock import Heard, What

# A replacement is told twice; of the two this is the one that works.
WORKING = (OpType.CREATE, OpType.UPDATE, OpType.CREATE_REPLACEMENT)
STEP_TYPES = ("command:remote:Command", "command:remote:CopyToRemote")
# Seconds to wait for an engine's last words after it has ended.
LAST_WORDS_SECONDS = 2.0


def heard(at: float, event: EngineEvent) -> Heard | None:
    """What a step of the program did, if the event tells of one; errors of no step come with an empty name. Pure."""
    if event.diagnostic_event is not None:
        return _diagnostic(at, event.diagnostic_event)
    for found, what in (
        (event.resource_pre_event, What.BEGAN),
        (event.res_outputs_event, What.DONE),
        (event.res_op_failed_event, What.FAILED),
    ):
        if found is not None and found.metadata.op in WORKING and found.metadata.type in STEP_TYPES:
            return Heard(at, _name(found.metadata.urn), what)
    return None


def _diagnostic(at: float, event: DiagnosticEvent) -> Heard | None:
    text = event.message.strip()
    step = _name(event.urn) if event.urn and any(f"${kind}::" in event.urn for kind in STEP_TYPES) else ""
    if event.severity == "error":
        return Heard(at, step, What.FAILED, text)
    return Heard(at, step, What.SAID, text) if step and text and event.severity.startswith("info") else None


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


class _Servicer(events_pb2_grpc.EventsServicer):
    def __init__(self, tell: Callable[[EngineEvent], None], over: threading.Event) -> None:
        self._tell = tell
        self._over = over

    def StreamEvents(self, request_iterator: Iterable[events_pb2.EventRequest], context: Any) -> empty_pb2.Empty:  # noqa: N802, ARG002
        try:
            for request in request_iterator:
                self._tell(EngineEvent.from_json(json.loads(request.event)))
        finally:
            self._over.set()
        return empty_pb2.Empty()


class Stream:
    """Where one `up` sends its events: `address` for its option --event-log."""

    def __init__(self, address: str, over: threading.Event) -> None:
        self.address = address
        self._over = over

    def hear_out(self) -> None:
        """Wait for the last words of an engine that has ended by itself."""
        self._over.wait(LAST_WORDS_SECONDS)


@contextmanager
def stream(tell: Callable[[EngineEvent], None]) -> Iterator[Stream]:
    """Take the events of one `up`; `tell` is called on a thread of the stream's own."""
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    over = threading.Event()
    events_pb2_grpc.add_EventsServicer_to_server(_Servicer(tell, over), server)
    address = f"tcp://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield Stream(address, over)
    finally:
        server.stop(grace=None)
