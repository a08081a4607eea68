"""A simulated fleet behind the stand-in plugin: the real engine and the real program, servers that only keep a state.

What decides is real: the agent's announce, finish, journals and authority. What touches the world is played: a gate is a
flag, a hosts file a dictionary. After every step the design's invariants are checked, whatever the engine made of the order.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent import announce, authority, finish, journal
from agent.journal import Authority, Fence
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import Gate, Target, Verb
from components.settings import Role, Settings
from rehearsal.plugins.transport import Connection, Listener, Result, TransportError


@dataclass
class Played:
    """One simulated server: a journal on disk, and what a real one would be in."""

    name: str
    role: Role
    machine: Server
    open: bool
    xid: int = 1000
    database: Target | None = None
    names: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """A step that ran: on which server, which verb, with which desired state."""

    server: str
    verb: str
    desired: Mapping[str, Any]


class SimulatedFleet:
    """A Transport. `faults` says what goes wrong at (server, verb), once: "before", "after" or "dropped"."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.servers = {
            server.address: Played(
                server.name,
                server.role,
                Server(Path(tempfile.mkdtemp(dir=folder, prefix=server.name))),
                open=server.role is Role.PRIMARY,
                names=dict(settings.names_before),
                tasks=dict.fromkeys(server.tasks, "running"),
            )
            for server in settings.servers.values()
        }
        self.events: list[Event] = []
        self.broken: list[str] = []
        self.faults: dict[tuple[str, str], str] = {}
        self.unreachable: set[str] = set()
        self._alone = threading.Lock()

    def named(self, name: str) -> Played:
        return next(server for server in self.servers.values() if server.name == name)

    @property
    def primary(self) -> Played:
        return self.named(self.settings.primary.name)

    @property
    def target(self) -> Played:
        return self.named(self.settings.target.name)

    def steps(self) -> list[tuple[str, str]]:
        return [(event.server, event.verb) for event in self.events]

    # What the plugin asks of a transport.

    def accepts(self, variable: str) -> bool:
        return False

    async def copy(self, connection: Connection, source: bytes | str, remote_path: str, listener: Listener) -> None:
        self._reach(connection)

    async def run(
        self, connection: Connection, command: str, stdin: str, environment: Mapping[str, str], listener: Listener
    ) -> Result:
        played = self._reach(connection)
        verb, desired = command.rsplit(maxsplit=1)[-1], json.loads(stdin)
        with self._alone:
            fault = self.faults.pop((played.name, verb), None)
            if fault == "before":
                listener.stderr(
                    b"pgleap: refused. Expected: luck. Found: a fault that the test put here. To do: again\n"
                )
                return Result(1)
            try:
                facts = self._act(played, Verb(verb), desired)
            except Refusal as refused:
                listener.stderr(f"pgleap: {refused}\n".encode())
                return Result(1)
            self.events.append(Event(played.name, verb, desired))
            self._check_invariants(f"{played.name} {verb}")
            if fault == "dropped":
                return Result(None)
            if fault == "after":
                return Result(1)
        listener.stdout(json.dumps(facts).encode() + b"\n")
        return Result(0)

    def _reach(self, connection: Connection) -> Played:
        played = self.servers[connection.host]
        if played.name in self.unreachable:
            raise TransportError(f"dial tcp {connection.host}:22: i/o timeout")
        return played

    # What the servers do.

    def _act(self, played: Played, verb: Verb, desired: Mapping[str, Any]) -> Facts:
        if verb is Verb.ANNOUNCE:
            return announce.announce(desired, played.machine)
        if verb is Verb.FINISH:
            return finish.finish(desired, played.machine)
        if verb is Verb.CLIENT_GATE:
            self._gate(played, Gate(desired["gate"]), desired["side"])
        elif verb is Verb.UPGRADE_TARGET:
            self._database(played, Target(desired["database"]))
        elif verb is Verb.HOSTS_FILE:
            played.names = dict(desired["names"])
        elif verb is Verb.OFFLINE_TASKS:
            played.tasks = dict(desired["tasks"])
        return {"changed": [], "because": "played"}

    def _gate(self, played: Played, gate: Gate, side: str) -> None:
        machine = played.machine
        own = journal.must_read(machine)
        if side == "DB_A":
            if gate is Gate.OPEN and own.authority is not Authority.HOLDS:
                theirs = journal.must_read(self.primary.machine)
                epoch = authority.may_open_upgrade_target(own, theirs, self.primary.xid)
                journal.update(machine, authority=Authority.HOLDS, epoch=epoch)
            elif gate is not Gate.OPEN:
                authority.refuse_to_seal_open_target(own)
                theirs = journal.must_read(self.primary.machine)
                if theirs.authority is Authority.RELEASED:
                    journal.update(machine, renounced=theirs.epoch)
            played.open = gate is Gate.OPEN
        elif gate is Gate.OPEN:
            journal.update(machine, authority=Authority.HOLDS, epoch=authority.may_open_old_primary(own), fence=None)
            played.open = True
        elif gate is Gate.SEALED:
            if own.authority is Authority.RELEASED:
                epoch = authority.may_take_back(own, journal.must_read(self.target.machine))
                journal.update(machine, authority=Authority.SEALED, epoch=epoch)
            elif own.authority is Authority.HOLDS:
                played.open = False
                played.xid += 7  # what was written since
                journal.update(machine, authority=Authority.SEALED, fence=Fence(played.xid, "0/1"))
        elif own.authority is not Authority.RELEASED:
            authority.may_release(own, played.xid, journal.must_read(self.target.machine))
            journal.update(machine, authority=Authority.RELEASED, epoch=own.epoch + 1)

    def _database(self, played: Played, wanted: Target) -> None:
        own = journal.must_read(played.machine)
        if wanted is Target.STANDBY:
            authority.refuse_to_seal_open_target(own)
            journal.update(played.machine, upgraded_at=None)
        else:
            fence = authority.proven(journal.must_read(self.primary.machine), self.primary.xid)
            journal.update(played.machine, upgraded_at=fence)
        played.database = wanted

    def _check_invariants(self, after: str) -> None:
        """Invariants 1, 3 and 6 of the design, as far as a simulation can tell."""
        if self.primary.open and self.target.open:
            self.broken.append(f"after {after}: two databases are open")
        serving = {
            address
            for address, server in self.servers.items()
            if server.role is Role.REPLICA or (server.open and server.role in (Role.PRIMARY, Role.TARGET))
        }
        for server in self.servers.values():
            if server.role is Role.ONLINE:
                dark = {name for name, address in server.names.items() if address not in serving}
                if dark:
                    self.broken.append(
                        f"after {after}: on {server.name} {sorted(dark)} lead to a database that lets nobody in"
                    )
        if not self.primary.open and not self.target.open and self.target.database is None:
            self.broken.append(f"after {after}: writes are refused, and DB_A could not be upgraded")
