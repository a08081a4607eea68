"""The probes at work: each in a thread of its own, so that a server that is gone holds up nobody else's figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from scripts.watch.meter import Meter
from scripts.watch.operation import Client, Operation
from scripts.watch.probe import Probe, Resolve

# What a probe under way at the end is waited for, in seconds: a server that is gone answers no sooner.
LAST_SECONDS = 1.0
CLIENTS: tuple[Client, ...] = ("connect", "testing-pool")


@dataclass(frozen=True)
class Task:
    """What one thread does: reads with a probe, or writes if there is a `statement`."""

    probe: Probe
    statement: str = ""

    def once(self) -> Operation:
        return self.probe.write(self.statement) if self.statement else self.probe.read()


def tasks(
    names: Iterable[str], write_names: Iterable[str], write_sql: str, database: str, resolve: Resolve
) -> list[Task]:
    """Both kinds of client at each name; writes, if there is a statement, at `write_names`."""
    found = [Task(Probe(name, client, resolve, database)) for name in names for client in CLIENTS]
    if write_sql:
        found += [Task(Probe(name, client, resolve, database), write_sql) for name in write_names for client in CLIENTS]
    return found


class Kept:
    """Takes what the threads found, one at a time: into the meter, and into a file if there is one. `wrong`: why the file has no more."""

    def __init__(self, lines: TextIO | None) -> None:
        self.meter = Meter()
        self.lock = threading.Lock()
        self.wrong = ""
        self._lines = lines

    def take(self, one: Operation) -> None:
        with self.lock:
            self.meter.add(one)
            # A thread may outlive the file by one probe.
            if self._lines is None or self._lines.closed or self.wrong:
                return
            try:
                self._lines.write(f"{one.line()}\n")
            except OSError as error:
                # The meter goes on without: it is what the night is looked at by.
                self.wrong = f"No more operations are kept in {self._lines.name}: {error}"


@contextmanager
def keeping(file: Path | None) -> Iterator[Kept]:
    """With `file` each operation is added to it as a line, at once: what a program that was killed saw is there too. Raises OSError."""
    if file is None:
        yield Kept(None)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", buffering=1, encoding="utf-8") as lines:
        yield Kept(lines)


def once(work: Sequence[Task], take: Callable[[Operation], None]) -> None:
    """Each task once, side by side."""
    threads = [threading.Thread(target=lambda task=task: take(task.once()), daemon=True) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for task in work:
        task.probe.close()


@contextmanager
def repeated(work: Sequence[Task], every: float, take: Callable[[Operation], None]) -> Iterator[None]:
    """While this lasts, each task every so many seconds; one that takes longer delays its next, and is not made up for."""
    stop = threading.Event()

    def repeat(task: Task, first: float) -> None:
        due = first
        while not stop.wait(max(0.0, due - time.monotonic())):
            take(task.once())
            due = max(due + every, time.monotonic())
        task.probe.close()

    # Not all at the same moment: what is measured is the fleet, not a burst.
    began = time.monotonic()
    threads = [
        threading.Thread(target=repeat, args=(task, began + every * number / len(work)), daemon=True)
        for number, task in enumerate(work)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        until = time.monotonic() + LAST_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
