"""A simulated fleet behind the stand-in plugin: the real engine and the real program, servers that only keep a state.

After every step the design's invariants are checked, whatever the engine made of the order.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.report import Refusal
from agent.states import Verb
from components.settings import Settings
from rehearsal.plugins.transport import Connection, Listener, Result, TransportError
from tests.components.played import Played, Servers, must_hold

DIAL_SECONDS = 1.5
GOES_ON_SECONDS = 1.5


class Fault(StrEnum):
    """How a step goes wrong, once."""

    # Refused; nothing was done.
    BEFORE = "before"
    # Done, and then said to have failed.
    AFTER = "after"
    # Done, and the connection dropped before anybody was told.
    DROPPED = "dropped"
    # The connection dropped; the server goes on by itself, for a moment longer than the engine.
    HALF_WAY = "half-way"


@dataclass(frozen=True)
class Event:
    """A step that ran: on which server, which verb, with which desired state."""

    server: str
    verb: str
    desired: Mapping[str, Any]


@dataclass(frozen=True)
class Hold:
    """A step that stands still: `reached` once it has begun, until `go_on` is set."""

    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


class SimulatedFleet(Servers):
    """A Transport. `faults` says what goes wrong at (server, verb), once; `holds` what stands still there."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings, folder)
        self.events: list[Event] = []
        self.violations: list[str] = []
        self.faults: dict[tuple[str, str], Fault] = {}
        self.holds: dict[tuple[str, str], Hold] = {}
        self.unreachable: set[str] = set()
        self._alone = {name: asyncio.Lock() for name in settings.servers}
        self._under_way: set[asyncio.Task[Result]] = set()

    def steps(self) -> list[tuple[str, str]]:
        return [(event.server, event.verb) for event in self.events]

    # What the plugin asks of a transport.

    def accepts(self, variable: str) -> bool:
        return False

    async def copy(self, connection: Connection, source: bytes | str, remote_path: str, listener: Listener) -> None:
        played = await self._reach(connection)
        played.now.programs.append(remote_path)
        played.save()

    async def run(
        self, connection: Connection, command: str, stdin: str, environment: Mapping[str, str], listener: Listener
    ) -> Result:
        played = await self._reach(connection)
        program, verb = command.split()[-2:]
        # The agent's lock: what is under way on a server goes on, connection or not, and the next verb waits for it.
        alone = self._alone[played.name]
        await alone.acquire()
        fault = self.faults.pop((played.name, verb), None)
        act = asyncio.create_task(self._run(played, program, Verb(verb), json.loads(stdin), fault, listener))
        act.add_done_callback(lambda _: alone.release())
        self._under_way.add(act)
        act.add_done_callback(self._under_way.discard)
        return Result(None) if fault is Fault.HALF_WAY else await asyncio.shield(act)

    async def _reach(self, connection: Connection) -> Played:
        played = self.by_address.get(connection.host)
        if played is None or played.name in self.unreachable:
            await asyncio.sleep(DIAL_SECONDS)
            raise TransportError(f"dial tcp {connection.host}:22: i/o timeout")
        return played

    async def _run(
        self,
        played: Played,
        program: str,
        verb: Verb,
        desired: Mapping[str, Any],
        fault: Fault | None,
        listener: Listener,
    ) -> Result:
        hold = self.holds.pop((played.name, verb.value), None)
        if hold is not None:
            hold.reached.set()
            await asyncio.to_thread(hold.go_on.wait)
        if fault is Fault.HALF_WAY:
            await asyncio.sleep(GOES_ON_SECONDS)
        try:
            must_have_luck(fault)
            must_hold(played, program)
            facts = self.act(played, verb, desired)
        except Refusal as refused:
            if fault is not Fault.HALF_WAY:
                listener.stderr(f"pgleap: {refused}\n".encode())
            return Result(1)
        self.events.append(Event(played.name, verb.value, desired))
        self.violations += [f"after {played.name} {verb.value}: {what}" for what in self.broken()]
        if fault is Fault.AFTER:
            return Result(1)
        if fault is not None:
            return Result(None)
        listener.stdout(json.dumps(facts).encode() + b"\n")
        return Result(0)


def must_have_luck(fault: Fault | None) -> None:
    """Raises Refusal if the test wants it."""
    if fault is Fault.BEFORE:
        raise Refusal("luck", "a fault that the test put here", "again")
