"""One `up`, watched to its end: what its steps say, the deadlines, and what a ^C means meanwhile."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.states import Phase
from scripts.window.ahead import Ahead
from scripts.window.budget import Budget
from scripts.window.clock import Clock, Heard
from scripts.window.course import Course, Ending, Ran, Way, after
from scripts.window.deadlines import Deadlines
from scripts.window.engine import Engine, end_left_over
from scripts.window.events import Event, Stream, heard, stream
from scripts.window.record import Record
from scripts.window.screen import Screen

# Seconds between two looks at the clock and the deadlines.
TICK_SECONDS = 0.1
# Of what an engine said, when no event tells why it failed.
LAST_LETTERS = 2000
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Interrupt:
    """A signal came."""


@dataclass(frozen=True)
class Over:
    """The engine has ended."""

    code: int
    said: str

    @classmethod
    def of(cls, up: subprocess.Popen[str]) -> Over:
        """Waits for it, and for the end of what it left."""
        ending = threading.Thread(target=end_left_over, args=(up,))
        ending.start()
        stdout, stderr = up.communicate()
        ending.join()
        return cls(up.returncode, stderr + stdout)


@dataclass(frozen=True)
class Told:
    """The engine of `record` told something; of a step, if there is a word."""

    record: Record
    word: Heard | None


Message = Told | Interrupt | Over


class Watch:
    """Runs one `up` after another for a window, with one clock and one idea of what a ^C means."""

    def __init__(self, engine: Engine, clock: Clock, deadlines: Deadlines, budget: Budget, screen: Screen) -> None:
        self._engine = engine
        self._budget = budget
        self._clock = clock
        self._deadlines = deadlines
        self._screen = screen
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._ahead: Ahead | None = None
        self.interrupted = False
        self.records: list[Record] = []

    @contextmanager
    def signals(self) -> Iterator[None]:
        """While this lasts, ^C and its like are messages. (SimpleQueue.put may be called from a handler.)"""
        before = {number: signal.signal(number, lambda *_: self._inbox.put(Interrupt())) for number in SIGNALS}
        try:
            yield
        finally:
            self._drop_ahead()
            for number, handler in before.items():
                signal.signal(number, handler)

    def up(self, course_: Course) -> Ran:
        """One `up`, to its end; ended by us on ^C (on the way forward, before DB_A opened) or past a deadline."""
        self._look_between(course_)
        if self.interrupted and course_.way is Way.FORWARD:
            self._drop_ahead()
            return Ran(Ending.INTERRUPTED, begun=False)
        ending, said = self._one(course_)
        if ending is Ending.FAILED and self._engine.is_locked_by_us(said):
            self._engine.unlock()
            ending, said = self._one(course_)
        record = self.records[-1]
        if ending is Ending.FAILED and not record.errors:
            record.errors.append(said.strip()[-LAST_LETTERS:])
            self._screen.warn(record.errors[-1])
        return record.ran(ending, self._clock.steps)

    def _look_between(self, course_: Course) -> None:
        """Take the interrupts that came between two `up`."""
        while not self._inbox.empty():
            if isinstance(self._inbox.get(), Interrupt):
                self.interrupted = self.interrupted or course_.way is Way.FORWARD

    def _one(self, course_: Course) -> tuple[Ending, str]:
        record, events, up = self._begin(course_)
        ending: Ending | None = None
        killed = False
        threading.Thread(target=lambda: self._inbox.put(Over.of(up)), daemon=True).start()
        following = after(course_, Ran(Ending.DONE))
        if isinstance(following, Course):
            self._engine.load_program()
        over: Over | None = None
        while over is None:
            message = self._next()
            if isinstance(message, Over):
                over = message
            elif isinstance(message, Told):
                self._hear(record, message)
            elif isinstance(message, Interrupt) and self._must_stop(record, ending):
                ending, killed = Ending.INTERRUPTED, self._engine.end(up)
            # Not before the engine at work has told something: it has written the config then, and holds the lock.
            if (
                isinstance(following, Course)
                and record.told
                and self._ahead is None
                and ending is None
                and over is None
            ):
                self._look_ahead(following)
            now = time.monotonic()
            outlook = self._budget.ahead(now, self.records, self._clock)
            self._screen.tick(now, record, self._clock, outlook.words if outlook else "")
            late = record.late(now, self._deadlines) or self._budget.exceeded(outlook, record, self._clock.steps)
            if late is not None and ending is None and over is None:
                self._screen.warn(f"{late}: ending the engine.")
                record.errors.append(late)
                ending, killed = Ending.LATE, self._engine.end(up)
        self._engine.end_program()
        if ending is None:
            events.hear_out()
        self._hear_the_rest(record)
        # Before an engine tells anything it has no lock, and one that is there is somebody else's.
        if killed and record.told:
            self._engine.unlock()
        record.seconds = time.monotonic() - record.began
        return ending or (Ending.DONE if over.code == 0 else Ending.FAILED), over.said

    def _begin(self, course_: Course) -> tuple[Record, Stream, subprocess.Popen[str]]:
        """The `up` that was begun ahead, if it is the one; else a new one."""
        now = time.monotonic()
        ahead, self._ahead = self._ahead, None
        up = ahead.wanted(course_) if ahead is not None else None
        if ahead is not None and up is not None:
            record, events = ahead.record, ahead.events
            record.began = record.quiet_since = now
        else:
            record = Record(course_, began=now, quiet_since=now)
            events = stream(self._teller(record))
            up = self._engine.begin_up(course_.phase, course_.round, events)
        self.records.append(record)
        return record, events, up

    def _look_ahead(self, following: Course) -> None:
        """Begin the `up` that follows if this one succeeds; it does nothing yet."""
        record = Record(following, began=time.monotonic())
        self._ahead = Ahead(self._engine, record, self._teller(record))

    def _teller(self, record: Record) -> Callable[[Event], None]:
        return lambda event: self._inbox.put(Told(record, heard(time.monotonic(), event)))

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.end()
            self._ahead = None

    def _next(self) -> Message | None:
        try:
            return self._inbox.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return None

    def _hear(self, record: Record, told: Told) -> None:
        if told.record is not record:
            return
        record.told = True
        record.quiet_since = time.monotonic()
        if told.word is not None:
            record.hear(told.word)
            self._clock.hear(record.course.phase, told.word)
            self._screen.step(record, told.word)

    def _hear_the_rest(self, record: Record) -> None:
        left: list[Interrupt] = []
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, Told):
                self._hear(record, message)
            elif isinstance(message, Interrupt):
                left.append(message)
        for interrupt in left:
            self._inbox.put(interrupt)

    def _must_stop(self, record: Record, ending: Ending | None) -> bool:
        """Whether this interrupt ends the engine; if it does not, it is answered."""
        if ending is not None or record.course.way is Way.BACK:
            self._screen.warn("The way back is under way, and goes on.")
            return False
        opened = record.course.phase is Phase.CUTOVER and self._clock.steps.target_gate in record.done
        if opened and not self.interrupted:
            self.interrupted = True
            self._screen.warn(
                "DB_A has opened, so cutover goes on; `--back` is the way back. Once more ends the engine only."
            )
            return False
        self.interrupted = True
        self._screen.warn("Interrupted: ending the engine.")
        return True
