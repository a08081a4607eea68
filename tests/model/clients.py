"""The fleet's clients, well-behaved and rude. Whatever a database acknowledged to one of them must never be lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from agent.hosts_file import HOSTS
from components.settings import Settings
from tests.model.cluster import Cluster, DatabaseError, Session

if TYPE_CHECKING:
    from tests.model.machine import Machine
    from tests.model.world import World


@dataclass(eq=False)
class Client:
    """A program on server `on` that has at most one session; `user` is its role. Subclasses say what it does with it."""

    on: str
    user: str
    cluster: Cluster | None = None
    session: Session | None = None

    def act(self, world: World) -> None:
        """One act, whatever becomes of it: a refusal is no news to a client."""
        if not self.may_work(world):
            self.leave()
            return
        try:
            if self.cluster is None or self.session is None or self.session.over:
                self.connect(world)
            elif not self.session.entering:
                self.work(world, self.cluster, self.session)
        except DatabaseError:
            if self.cluster is not None and self.session is not None and not self.session.over:
                self.cluster.rollback(self.session)

    def may_work(self, world: World) -> bool:
        return True

    def database(self, world: World) -> Machine | None:
        """The server it connects to."""
        raise NotImplementedError

    def connect(self, world: World) -> None:
        self.cluster = self.session = None
        machine = self.database(world)
        found = machine.listening() if machine is not None else None
        if machine is None or found is None:
            return
        over_socket = machine.name == self.on
        address = None if over_socket else world.machines[self.on].address
        self.session, self.cluster = found.login(self.user, address, world.clock), found
        # Every other login takes its time: it was let in, and shows only later.
        self.session.entering = world.rng.random() < 0.5

    def leave(self) -> None:
        if self.cluster is not None and self.session is not None and not self.session.over:
            self.cluster.close(self.session)
        self.cluster = self.session = None

    def work(self, world: World, cluster: Cluster, session: Session) -> None:
        raise NotImplementedError


def write(world: World, cluster: Cluster, session: Session, read_write: bool = False) -> None:
    """A whole transaction with one write. Raises DatabaseError."""
    cluster.begin(session, world.clock, read_write)
    cluster.insert(session, world.new_id())
    world.acknowledged.update(cluster.commit(session, world.clock))


@dataclass(eq=False)
class Pool(Client):
    """A pool of one session that goes by a name of its server's hosts file and keeps what works; `unit` is its worker's task."""

    name: str = ""
    unit: str = ""

    def may_work(self, world: World) -> bool:
        return not self.unit or world.machines[self.on].tasks[self.unit]

    def database(self, world: World) -> Machine | None:
        return world.at(leads(world.machines[self.on], self.name))

    def work(self, world: World, cluster: Cluster, session: Session) -> None:
        write(world, cluster, session)


@dataclass(eq=False)
class Direct(Client):
    """A program that goes by address, to `to`."""

    to: str = ""

    def database(self, world: World) -> Machine | None:
        return world.machines[self.to]

    def work(self, world: World, cluster: Cluster, session: Session) -> None:
        """As rude as can be: it says itself that it means to write."""
        write(world, cluster, session, read_write=True)
        if world.rng.random() < 0.5:
            self.leave()


@dataclass(eq=False)
class Sleeper(Direct):
    """`BEGIN; SELECT`, and much later an insert."""

    def work(self, world: World, cluster: Cluster, session: Session) -> None:
        if session.state == "idle":
            cluster.begin(session, world.clock)
        elif world.rng.random() < 0.3:
            cluster.insert(session, world.new_id())
            world.acknowledged.update(cluster.commit(session, world.clock))


@dataclass(eq=False)
class Holder(Direct):
    """It has written, and commits much later."""

    def work(self, world: World, cluster: Cluster, session: Session) -> None:
        if session.state == "idle":
            cluster.begin(session, world.clock)
            cluster.insert(session, world.new_id())
        elif world.rng.random() < 0.3:
            world.acknowledged.update(cluster.commit(session, world.clock))


@dataclass(eq=False)
class Consumer(Direct):
    """It follows by a logical slot of its own, and now and then stops to write: a walsender with a database speaks SQL."""

    def connect(self, world: World) -> None:
        super().connect(world)
        if self.session is not None:
            self.session.kind = "walsender"

    def work(self, world: World, cluster: Cluster, session: Session) -> None:
        if not session.follows:
            cluster.consumed.setdefault(self.user, cluster.lsn)
            session.follows, session.state, session.since = self.user, "active", world.clock
        elif world.rng.random() < 0.3:
            session.follows, session.state, session.since = "", "idle", world.clock
            write(world, cluster, session, read_write=True)


def leads(machine: Machine, name: str) -> str:
    """Where a name leads on a server, "" if nowhere."""
    return _names(machine.text(HOSTS)).get(name, "")


@cache
def _names(hosts: str) -> dict[str, str]:
    """The names in a hosts file; the first line that has one decides."""
    found: dict[str, str] = {}
    for line in hosts.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            found.setdefault(name, address)
    return found


def clients_of(settings: Settings) -> list[Client]:
    """Everybody who uses the databases of a fleet."""
    on, databases = [server.name for server in settings.hosts_servers], _databases(settings)
    pools: list[Client] = [
        Pool(server.name, "app", name=name, unit=unit)
        for server in settings.hosts_servers
        for name in settings.names
        for unit in (server.tasks or ("",))
    ]
    primary, target = settings.primary.name, settings.target.name
    return [
        *pools,
        *(Direct(on[0], "rude", to=to) for to in databases),
        Direct(primary, "postgres", to=primary),
        *(Direct(on[-1], "batch", to=to) for to in (primary, target)),
        *(kind(on[0], "app", to=to) for kind in (Sleeper, Holder) for to in (primary, target)),
        *(Consumer(on[0], "cdc", to=to) for to in (primary, target)),
    ]


def _databases(settings: Settings) -> Sequence[str]:
    return [server.name for server in (settings.primary, *settings.replicas, settings.target, *settings.new_replicas)]
