"""The simulated world: every server of a stack, its clients, its clock. It moves whenever somebody sleeps or changes something."""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.report import Refusal
from components.settings import Role, Settings
from tests.model import invariants, passwords, replication
from tests.model.clients import Client, Direct, clients_of
from tests.model.cluster import Cluster
from tests.model.configuration import HBA, PRIMARY_CONF
from tests.model.machine import CONTROL, SIGNAL, Machine
from tests.model.process import Killed, Process

OLD, NEW = "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/17/bin"
PROGRAMS = ("postgres", "pg_basebackup", "pg_controldata", "psql", "pg_upgrade", "initdb", "vacuumdb")
SYSTEM = "the-fleets-own-system"
# How many clients do something while the world moves once.
ACTING = 3


@dataclass
class World:
    """`acknowledged` is every write that a client was told is committed; `lagging` standbys replay one record at a time. With
    `side_by_side` transient units run while others do, and not to their end as soon as they are begun."""

    settings: Settings
    folder: Path
    clock: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    machines: dict[str, Machine] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    lagging: set[str] = field(default_factory=set)
    unreachable: set[str] = field(default_factory=set)
    standing: list[Process] = field(default_factory=list)
    side_by_side: bool = False
    looks: int = 0
    last_postmaster: int = 0
    last_id: int = 0
    last_system: int = 0

    def __post_init__(self) -> None:
        self.doing = Process(lambda: None, "nowhere")
        self._primary, self._target = self.settings.primary.name, self.settings.target.name

    @classmethod
    def built(cls, settings: Settings, folder: Path) -> World:
        """The fleet as it was before pgleap came, under traffic."""
        world = cls(settings, folder)
        for configured in settings.servers.values():
            machine = Machine(
                world,
                configured.name,
                configured.address,
                configured.role.value,
                configured.tasks,
                folder / configured.name,
            )
            world.machines[machine.name] = machine
            machine.root.mkdir(parents=True)
            machine.put("/etc/machine-id", f"{configured.name}\n".encode())
            lines = [f"{address}\t{name}\n" for name, address in settings.names_before.items()]
            machine.put("/etc/hosts", "".join(["127.0.0.1\tlocalhost\n", *lines]).encode())
            if configured.role in (Role.PRIMARY, Role.REPLICA):
                world._old_cluster(machine, configured.role is Role.PRIMARY)
            if configured.role is Role.TARGET:
                machine.install(OLD, PROGRAMS)
            if configured.role in (Role.TARGET, Role.NEW_REPLICA):
                machine.install(NEW, PROGRAMS)
        world.clients = clients_of(settings)
        for _ in range(20):
            world.move()
        return world

    def _old_cluster(self, machine: Machine, is_primary: bool) -> None:
        data, config = "/var/lib/postgresql/15/main", "/etc/postgresql/15/main"
        cluster = Cluster(15, data, config, "postgresql@15-main.service", system=SYSTEM)
        cluster.catalog["role replicator"] = passwords.replication_verifier()
        machine.clusters[data] = cluster
        follow = f"primary_conninfo = 'host={self.settings.primary.address} port=5432 user=replicator'\n"
        machine.put(f"{config}/postgresql.conf", (PRIMARY_CONF + ("" if is_primary else follow)).encode())
        machine.put(f"{config}/pg_hba.conf", HBA.encode())
        machine.put(f"{config}/pg_ident.conf", b"")
        machine.put(f"{data}/postgresql.auto.conf", b"")
        machine.put(f"{data}/PG_VERSION", b"15\n")
        machine.put(f"{data}/{CONTROL}", b"")
        if not is_primary:
            machine.put(f"{data}/{SIGNAL}", b"")
        machine.start(cluster)

    def __getstate__(self) -> dict[str, Any]:
        """All but the process under way, which is a thread's."""
        return {name: value for name, value in vars(self).items() if name != "doing"}

    def moved_to(self, folder: Path) -> None:
        """It was unpickled, and its servers' files lie in this folder now."""
        self.folder = folder
        self.__post_init__()
        for machine in self.machines.values():
            machine.root = folder / machine.name

    @property
    def primary(self) -> Machine:
        return self.machines[self._primary]

    @property
    def target(self) -> Machine:
        return self.machines[self._target]

    def at(self, address: str) -> Machine | None:
        return next((machine for machine in self.machines.values() if machine.address == address), None)

    def new_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def new_system(self) -> str:
        """The identifier of a cluster that initdb has made."""
        self.last_system += 1
        return f"initdb-{self.last_system}"

    def nobody_by_address(self) -> None:
        """What is to be seen to before retire: whoever goes to an old database server by its address goes there no more."""
        old = {server.name for server in self.settings.old_databases}
        for client in list(self.clients):
            if isinstance(client, Direct) and client.to in old:
                client.leave()
                self.clients.remove(client)

    def move(self) -> None:
        """A moment passes for everybody but the process that is doing something."""
        self.clock += 0.001
        for machine in self.machines.values():
            for cluster in machine.running():
                replication.go_on(self, machine, cluster)
        for client in self.rng.sample(self.clients, min(ACTING, len(self.clients))):
            client.act(self)

    def look(self, when: str) -> None:
        """Hold the invariants against the world as it is right now."""
        self.looks += 1
        self.violations += [f"{when}: {what}" for what in invariants.broken(self)]

    # Processes.

    def launch(self, process: Process) -> Process:
        """Begin a process; it is over afterwards, or stands still."""
        return self._do(process, process.begin)

    def resume(self, process: Process, moments: int | None = None) -> Process:
        self.standing.remove(process)
        return self._do(process, lambda: process.go_on(moments))

    def others_go_on(self, machine: Machine) -> None:
        """Somebody on this server sleeps: those that stand still, here or elsewhere, come a little further."""
        for process in list(self.standing):
            if process in self.standing and (process.where == machine.name or not process.is_stuck):
                self.resume(process, self.rng.randint(1, 4))

    def end_standing(self) -> None:
        """Nobody is left: what still stood ran to its end, late."""
        while self.standing:
            self.resume(self.standing[0])

    def _do(self, process: Process, go: Callable[[], None]) -> Process:
        before, self.doing = self.doing, process
        go()
        self.doing = before
        if not process.over:
            self.standing.append(process)
        if process.error is not None and not isinstance(process.error, Refusal | Killed):
            raise process.error
        return process


@dataclass(frozen=True)
class Saved:
    """A world as it was, from which any number of worlds can begin. `also` is whatever was saved with it."""

    folder: Path
    pickled: bytes

    @classmethod
    def of(cls, world: World, also: object, folder: Path) -> Saved:
        assert not world.standing
        _link_all(str(world.folder), str(folder))
        for machine in world.machines.values():
            machine.transient.clear()
        return cls(folder, pickle.dumps((world, also)))

    def begin(self, folder: Path) -> tuple[World, object]:
        """The world again, in a folder of its own, and what was saved with it."""
        _link_all(str(self.folder), str(folder))
        world, also = pickle.loads(self.pickled)
        assert isinstance(world, World)
        world.moved_to(folder)
        return world, also


def _link_all(source: str, target: str) -> None:
    """The folder again, its files shared: whoever changes one replaces it."""
    os.mkdir(target)  # noqa: PTH102 - thousands of paths: as text they cost half
    for entry in os.scandir(source):
        (_link_all if entry.is_dir() else os.link)(entry.path, f"{target}/{entry.name}")


def remove(folder: str) -> None:
    """A folder and all below it, twice as fast as by shutil, which looks out for others who rename things meanwhile."""
    for entry in os.scandir(folder):
        (remove if entry.is_dir(follow_symlinks=False) else os.unlink)(entry.path)
    os.rmdir(folder)  # noqa: PTH106 - as above
