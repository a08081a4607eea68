"""A server for whoever only looks at it."""

from __future__ import annotations

from typing import Any, NoReturn, Optional

from agent.server import Completed, Server

# No program that is only asked takes longer on a server that is well; whoever started this waits ten seconds in all.
PATIENCE = 3.0


class Onlooker(Server):
    """A server that is only looked at: programs get little time, and nothing is written or locked, whoever is called."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.root)
        self._server = server

    def now(self) -> float:
        return self._server.now()

    def monotonic(self) -> float:
        return self._server.monotonic()

    def run(self, *argv: str, timeout: Optional[float] = PATIENCE, **how: Any) -> Completed:
        return self._server.run(*argv, timeout=PATIENCE if timeout is None else min(timeout, PATIENCE), **how)

    def stream(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("an onlooker runs no long program")

    def converse(self, *argv: str, **how: Any) -> Any:
        return self._server.converse(*argv, **how)

    def write_durably(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("an onlooker writes nothing")

    def only_one(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("an onlooker holds nobody up")
