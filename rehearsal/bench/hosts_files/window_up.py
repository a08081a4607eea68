"""One `up` as scripts.window does it, its program loaded ahead: python -m rehearsal.bench.hosts_files.window_up PROJECT STACK PHASE ROUND.

A process of its own, because the window hands its environment on to the engine. Prints what it took as JSON: {"seconds", "span"}.
"""

from __future__ import annotations

import json
import select
import sys
import time
from pathlib import Path

from agent.states import Phase
from rehearsal.bench.hosts_files.figures import span
from rehearsal.recording import steps
from scripts.window.clock import Heard
from scripts.window.engine import Engine
from scripts.window.events import heard, stream
from scripts.window.watch import Over

LOAD_SECONDS = 30.0


def main(project: str, stack: str, phase: str, round_: str) -> int:
    """The exit status; a failed `up` says why on the standard error."""
    engine = Engine(Path(project), stack)
    words: list[Heard] = []
    try:
        # In the window the phase before gives it the time.
        loaded = engine.load_program().process.stdout
        assert loaded is not None
        select.select([loaded], [], [], LOAD_SECONDS)
        began = time.monotonic()
        events = stream(lambda event: words.extend(filter(None, [heard(time.monotonic(), event)])))
        over = Over.of(engine.begin_up(Phase(phase), int(round_), events))
        seconds = time.monotonic() - began
        events.hear_out()
    finally:
        engine.close()
    if over.code != 0:
        print(over.said, file=sys.stderr)
        return 1
    print(json.dumps({"seconds": seconds, "span": span(steps(words))}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
