"""What the operator sees while the window goes: one live line with the clock, and a sentence for whatever happens."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.status import Status

from scripts.window.clock import Clock, Heard, What
from scripts.window.deadlines import DATABASE
from scripts.window.record import Record

# The steps that the live line names; the rest is a number.
NAMED = 2


class _Console(Console):
    """rich ends the program when a pipe's reader has gone (`| head`), with status 1: here that would be "it went back"."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # What is still buffered must find a place when Python ends, or its exit status is 120.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Screen:
    """Sentences on the standard output. A terminal that has gone away stops nothing: the window must come to its end."""

    def __init__(self, began: float) -> None:
        self._out = _Console(highlight=False, soft_wrap=True, emoji=False)
        self._status: Status | None = None
        self.began = began

    @contextmanager
    def live(self) -> Iterator[None]:
        """While this lasts, the live line stands below the sentences; where there is no terminal, there is none."""
        self._status = self._out.status("")
        try:
            with suppress(OSError):
                self._status.start()
            yield
        finally:
            with suppress(OSError):
                self._status.stop()
            self._status = None

    def say(self, sentence: str = "", style: str = "") -> None:
        with suppress(OSError):
            self._out.print(sentence, style=style, markup=False)

    def now(self, sentence: str, style: str = "") -> None:
        """A sentence with the seconds since the command began."""
        self.say(f"{time.monotonic() - self.began:7.1f} s  {sentence}", style)

    def warn(self, sentence: str) -> None:
        self.now(sentence, "yellow")

    def step(self, record: Record, word: Heard) -> None:
        """A step's word: its end with its seconds; what it says by itself only where it is long."""
        phase = record.course.phase
        if word.what is What.DONE:
            self.now(f"{phase}: {word.step} done in {record.steps[word.step]:.2f} s")
        elif word.what is What.FAILED and word.text:
            self.now(f"{phase}: {word.step or 'the program'} failed: {word.text}", "red")
        elif word.what is What.SAID:
            self.now(f"{phase}: {word.step}: {word.text}", "dim" if not word.step.endswith(DATABASE) else "")

    def tick(self, now: float, record: Record, clock: Clock, ahead: str = "") -> None:
        """The live line. `ahead`: what is left, in words."""
        if self._status is not None:
            with suppress(OSError):
                self._status.update(live_line(now, record, clock, ahead))


def live_line(now: float, record: Record, clock: Clock, ahead: str = "") -> str:
    """Phase, the clock of the outage, and what is under way. Pure."""
    refused = clock.seconds_refused(now)
    outage = "writes are accepted"
    if refused is not None:
        outage = (
            f"writes refused for {refused:.1f} s"
            if clock.accepted is None
            else f"writes were refused for {refused:.1f} s"
        )
        outage += f", {ahead}" if ahead and clock.accepted is None else ""
    oldest = sorted(record.under_way.items(), key=lambda item: item[1])
    named = [f"{step} {now - since:.1f} s" for step, since in oldest[:NAMED]]
    more = f" and {len(oldest) - NAMED} more" if len(oldest) > NAMED else ""
    return f"{record.course.phase}, round {record.course.round} | {outage} | {', '.join(named) or 'no step under way'}{more}"
