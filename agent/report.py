"""How the agent speaks: facts on stdout (one JSON line), progress and refusals on stderr (short lines)."""

from __future__ import annotations

import sys
from typing import Any, Dict

Facts = Dict[str, Any]

# A single output line over 64 KiB hangs the pulumi-command provider for ever; this leaves room for quoting.
LONGEST_LINE = 16_000


class Refusal(Exception):
    """The agent will not go on: what was expected, what was found, what to do. Nothing was changed beyond what is said."""

    def __init__(self, expected: str, found: str, do: str) -> None:
        self.expected = expected
        self.found = found
        self.do = do
        super().__init__(f"refused. Expected: {expected}. Found: {found}. To do: {do}")


def progress(sentence: str) -> None:
    """One progress line to stderr, which `pulumi up` streams. An operator who went away does not stop the work."""
    try:
        print(sentence[:LONGEST_LINE].replace("\n", " "), file=sys.stderr, flush=True)
    except (BrokenPipeError, ValueError):
        # The connection dropped. The move goes on: half a move is worse than one nobody watches.
        pass
