"""The frame of a step that runs on the operator's machine: the desired state as JSON on stdin, one line of facts on stdout,
progress and refusals on stderr, as the agent has it. What ends the `up` ends this too: its next word finds nobody who listens."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scripts.report import LONGEST_LINE, Facts, Refusal

Desired = Mapping[str, Any]


@dataclass(frozen=True)
class Time:
    """The clock and the pauses of a step, in seconds; a test has its own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


_speaking = threading.local()


@contextmanager
def speaking_of(server: str) -> Iterator[None]:
    """What this thread says in the block is of one server among many."""
    _speaking.of = f"{server}: "
    try:
        yield
    finally:
        _speaking.of = ""


def say(sentence: str) -> None:
    """One progress line, which `pulumi up` streams. Raises BrokenPipeError if the `up` has ended."""
    sentence = getattr(_speaking, "of", "") + sentence
    print(sentence[:LONGEST_LINE].replace("\n", " "), file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Wait:
    """A wait with a deadline of `seconds`: a look every `poll` seconds, told again every `again` seconds."""

    seconds: float
    time: Time
    poll: float = 5.0
    again: float = 30.0

    def until_nothing_is(self, left: Callable[[], str], too_late: Callable[[str], Refusal]) -> float:
        """The seconds until `left` is empty; what it says until then is what is still waited for. Raises `too_late` of that."""
        began = told_at = self.time.monotonic()
        told = ""
        while waiting := left():
            now = self.time.monotonic()
            if now - began >= self.seconds:
                raise too_late(waiting)
            if waiting != told or now - told_at >= self.again:
                say(f"{waiting} ({now - began:.0f} of {self.seconds:g} s)")
                told, told_at = waiting, now
            self.time.sleep(self.poll)
        return self.time.monotonic() - began


def main(work: Callable[[Desired, Time], Facts]) -> int:
    """Do what stdin asks for; 0 with facts on stdout, 1 with a refusal on stderr."""
    # Started by somebody who ignores how children end, which is inherited, Python would call every command's status 0.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    desired: Desired = json.load(sys.stdin)
    its_time = Time()
    began = its_time.monotonic()
    try:
        facts = work(desired, its_time)
    except Refusal as refused:
        print(f"pgleap: {refused}", file=sys.stderr)
        return 1
    took = round(its_time.monotonic() - began, 3)
    whose = {"server": desired["server"]} if "server" in desired else {}
    print(json.dumps({**whose, **facts, "took": took}, sort_keys=True))
    return 0
