"""The simulated servers: what a real one would be in, and what its agent's verbs make of it.

What decides is real: the agent's announce, finish, journals and authority. What touches the world is played: a gate is a
flag, a hosts file a dictionary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent import announce, authority, finish, journal
from agent.journal import Authority, Fence
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import Gate, Target, Verb
from components.settings import Role, Settings
from components.settings import Server as Configured
from components.step import INSTALLED


@dataclass
class Condition:
    """What a simulated server is in. `programs` are the paths at which it holds the agent."""

    open: bool = False
    xid: int = 1000
    database: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    programs: list[str] = field(default_factory=list)


class Played:
    """One simulated server. All it is lies in its folder, so that a copy of the folder is a copy of the server."""

    def __init__(self, configured: Configured, settings: Settings, folder: Path) -> None:
        self.name, self.role = configured.name, configured.role
        self.machine = Server(folder)
        self._file = folder / "condition.json"
        if self._file.exists():
            self.now = Condition(**json.loads(self._file.read_text()))
            return
        folder.mkdir(parents=True)
        self.now = Condition(
            open=configured.role is Role.PRIMARY,
            names=dict(settings.names_before),
            tasks=dict.fromkeys(configured.tasks, "running"),
        )

    def save(self) -> None:
        self._file.write_text(json.dumps(asdict(self.now)))

    @property
    def open(self) -> bool:
        """Whether clients get in."""
        return self.now.open

    @property
    def holds(self) -> bool:
        """Whether its journal says that it holds the authority to write."""
        own = journal.read(self.machine)
        return own is not None and own.authority is Authority.HOLDS


class Servers:
    """The simulated servers of a stack, by address."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self._folder = folder
        self.by_address = {
            server.address: Played(server, settings, folder / server.name) for server in settings.servers.values()
        }

    def named(self, name: str) -> Played:
        return next(server for server in self.by_address.values() if server.name == name)

    def replace(self, name: str, address: str) -> None:
        """The server is gone; a new one of its name stands at another address, and pgleap was never there."""
        self.by_address = {at: server for at, server in self.by_address.items() if server.name != name}
        folder = self._folder / f"{name}-at-{address}"
        self.by_address[address] = Played(self.settings.servers[name], self.settings, folder)

    @property
    def primary(self) -> Played:
        return self.named(self.settings.primary.name)

    @property
    def target(self) -> Played:
        return self.named(self.settings.target.name)

    def act(self, played: Played, verb: Verb, desired: Mapping[str, Any]) -> Facts:
        """What the verb does on this server. Raises Refusal."""
        facts: Facts = {"changed": [], "because": "played"}
        if verb is Verb.ANNOUNCE:
            facts = announce.announce(desired, played.machine)
        elif verb is Verb.FINISH:
            facts = finish.finish(desired, played.machine)
        elif verb is Verb.INSTALL:
            played.now.programs.append(INSTALLED)
        elif verb is Verb.CLIENT_GATE:
            self._gate(played, Gate(desired["gate"]), desired["side"])
        elif verb is Verb.UPGRADE_TARGET:
            self._database(played, Target(desired["database"]))
        elif verb is Verb.HOSTS_FILE:
            played.now.names = dict(desired["names"])
        elif verb is Verb.OFFLINE_TASKS:
            played.now.tasks = dict(desired["tasks"])
        played.save()
        return facts

    def _gate(self, played: Played, gate: Gate, side: str) -> None:
        machine = played.machine
        own = journal.must_read(machine)
        if side == "DB_A":
            if gate is Gate.OPEN and own.authority is not Authority.HOLDS:
                theirs = journal.must_read(self.primary.machine)
                epoch = authority.may_open_upgrade_target(own, theirs, self.primary.now.xid)
                journal.update(machine, authority=Authority.HOLDS, epoch=epoch)
            elif gate is not Gate.OPEN:
                authority.refuse_to_seal_open_target(own)
                theirs = journal.must_read(self.primary.machine)
                if theirs.authority is Authority.RELEASED:
                    journal.update(machine, renounced=theirs.epoch)
            played.now.open = gate is Gate.OPEN
        elif gate is Gate.OPEN:
            journal.update(machine, authority=Authority.HOLDS, epoch=authority.may_open_old_primary(own), fence=None)
            played.now.open = True
        elif gate is Gate.SEALED:
            if own.authority is Authority.RELEASED:
                epoch = authority.may_take_back(own, journal.must_read(self.target.machine))
                journal.update(machine, authority=Authority.SEALED, epoch=epoch)
            elif own.authority is Authority.HOLDS:
                played.now.open = False
                played.now.xid += 7  # what was written since
                journal.update(machine, authority=Authority.SEALED, fence=Fence(played.now.xid, "0/1"))
        elif own.authority is not Authority.RELEASED:
            authority.may_release(own, played.now.xid, journal.must_read(self.target.machine))
            journal.update(machine, authority=Authority.RELEASED, epoch=own.epoch + 1)

    def _database(self, played: Played, wanted: Target) -> None:
        own = journal.must_read(played.machine)
        if wanted is Target.STANDBY:
            authority.refuse_to_seal_open_target(own)
            journal.update(played.machine, upgraded_at=None)
        elif own.upgraded_at is None:
            fence = authority.proven(journal.must_read(self.primary.machine), self.primary.now.xid)
            journal.update(played.machine, upgraded_at=fence)
        played.now.database = wanted.value

    def broken(self) -> list[str]:
        """Which of the design's invariants 1, 3 and 6 do not hold, as far as a simulation can tell."""
        primary, target = self.primary, self.target
        found = []
        if primary.open and target.open:
            found.append("two databases are open")
        if primary.holds and target.holds:
            found.append("two databases hold the authority")
        serving = {
            address
            for address, server in self.by_address.items()
            if server.role is Role.REPLICA or (server.open and server.role in (Role.PRIMARY, Role.TARGET))
        }
        for server in self.by_address.values():
            dark = {name for name, address in server.now.names.items() if address not in serving}
            if server.role is Role.ONLINE and dark:
                found.append(f"on {server.name} {sorted(dark)} lead to a database that lets nobody in")
        if not primary.open and not target.open and target.now.database is None:
            found.append("writes are refused, and DB_A could not be upgraded")
        return found


def must_hold(played: Played, program: str) -> None:
    """What a shell says of a program that is not there, as the agent's would be on a server that it never reached."""
    if program not in played.now.programs:
        raise Refusal(f"the file {program} on {played.name}", "no such file", "have it delivered")
