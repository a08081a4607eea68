"""A server for the agent's tests: a folder for its files, a clock that does not wait, and programs that tests write in Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.report import Refusal
from agent.server import Completed, Server


class PowerCutError(Exception):
    """The server died before a write."""


class FakeServer(Server):
    """`programs` are found by their name and get their arguments; whatever they do, they do to this server's files."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.programs: dict[str, Callable[[tuple[str, ...]], Completed]] = {}
        self.ran: list[tuple[str, ...]] = []
        self.clock = 0.0
        # The power goes before the write with this number; None is never.
        self.writes_left: int | None = None

    def monotonic(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def run(self, *argv: str, check: bool = True, **_: Any) -> Completed:
        self.ran.append(argv)
        if argv[0] not in self.programs:
            raise Refusal(f"the program {argv[0]} on this server", "no such program", "install it")
        done = self.programs[argv[0]](argv[1:])
        if check and done.returncode != 0:
            raise Refusal(f"`{' '.join(argv)}` to succeed", done.stderr, "mend what it says")
        return done

    def write_durably(
        self, absolute: str, content: bytes, mode: int | None = None, owner: tuple[int, int] | None = None
    ) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise PowerCutError
            self.writes_left -= 1
        super().write_durably(absolute, content, mode, owner)
