"""A process on a simulated server: it runs, dies at a moment, or stands still there while others go on.

Whoever runs it counts its moments: one right before each effect on the world, and one right after it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


class Killed(BaseException):
    """The process is gone, between one effect and the next. No `except` of the agent's may hear of it."""


@dataclass
class Fate:
    """What befalls a process: at which of its moments it dies or stands still. With `unit_stands_at` its connection drops as soon as
    it waits for the unit that it began, which stands still at that moment of its own."""

    dies_at: int | None = None
    stands_at: int | None = None
    unit_stands_at: int | None = None
    met: int = 0


class Process:
    """`act` on the server `where`. Only one process runs at a time: one that stands still has handed the world back."""

    def __init__(self, act: Callable[[], object], where: str, fate: Fate | None = None) -> None:
        self.where = where
        self.fate = fate or Fate()
        self.outcome: object = None
        self.error: BaseException | None = None
        self.over = False
        # It goes on only if somebody on its own server waits for it.
        self.is_stuck = False
        self._act = act
        self._thread: threading.Thread | None = None
        self._mine = threading.Semaphore(0)
        self._callers = threading.Semaphore(0)

    def begin(self) -> None:
        """Run until it is over or stands still."""
        if self.fate.stands_at is None:
            self._work()
            return
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._callers.acquire()

    def go_on(self, moments: int | None = None) -> None:
        """Let it go on from where it stands: for so many moments, or until it is over."""
        self.fate.stands_at = None if moments is None else self.fate.met + moments
        self._mine.release()
        self._callers.acquire()

    def end(self) -> None:
        """Kill it where it stands."""
        self.fate.dies_at = self.fate.met
        self.go_on()

    def meet(self) -> None:
        """A moment of this process. Raises Killed."""
        fate = self.fate
        if fate.stands_at == fate.met and self._thread is not None:
            self._callers.release()
            self._mine.acquire()
        if fate.dies_at == fate.met:
            fate.dies_at = None
            raise Killed
        fate.met += 1

    def _work(self) -> None:
        try:
            self.outcome = self._act()
        except BaseException as error:  # whoever began it decides what it means
            self.error = error
        self.over = True
        if self._thread is not None:
            self._callers.release()
