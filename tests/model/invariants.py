"""The design's invariants, held against the simulated world at one moment. (Invariants 4 and 5 are whole runs: see the tests.)"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from agent.copies import UNIT
from agent.journal import JOURNAL_FILE, Authority, Journal, from_json
from agent.own_names import PUBLICATION
from agent.synchronous_replication import named
from agent.target import TARGET_FILE
from components.settings import Role
from tests.model.clients import leads, write
from tests.model.cluster import Cluster, DatabaseError
from tests.model.configuration import upstream_of
from tests.model.psql_reads import IDENTITY
from tests.model.replication import standbys, upstream

if TYPE_CHECKING:
    from tests.model.machine import Machine
    from tests.model.world import World

# A server's role is text here: an enum's `value` is looked up anew each time, a hundred thousand times a test.
ONLINE, PRIMARY, REPLICA, NEW_REPLICA = (
    role.value for role in (Role.ONLINE, Role.PRIMARY, Role.REPLICA, Role.NEW_REPLICA)
)
# Who tries to get in, from everywhere: (role, over the socket?).
Callers = tuple[tuple[str, bool], ...]
CALLERS: Callers = (
    ("app", False), ("batch", False), ("postgres", False), ("pgleap", False), ("pgleap_root", True), ("postgres", True),
)  # fmt: skip


def broken(world: World) -> list[str]:
    """What does not hold right now, in sentences."""
    open_ones = [machine.name for machine in world.machines.values() if takes_writes(world, machine)]
    found = []
    if len(open_ones) > 1:
        found.append(f"clients can commit on {' and '.join(open_ones)}")
    for name in open_ones:
        own = journal_of(world.machines[name])
        if own is not None and own.authority is not Authority.HOLDS:
            found.append(f"clients can commit on {name}, whose journal says {own.authority.value}")
    found += _held_twice(world)
    found += _lost(world, open_ones)
    found += _unread(world)
    found += _strayed(world)
    found += _waited_for(world)
    if not open_ones and not could_be_upgraded(world):
        found.append("writes are refused, and DB_A could not be upgraded at once")
    return found


def takes_writes(world: World, machine: Machine) -> bool:
    """Whether any client's commit succeeds here: one that is inside, or one that comes. Those that come really try."""
    return any(_commits(world, machine, cluster) for cluster in machine.running() if not cluster.recovery)


def _commits(world: World, machine: Machine, cluster: Cluster) -> bool:
    # Over the socket of DB_A's old version the operating system's postgres is pgleap's own: pg_upgrade's check comes so.
    checked = machine is world.target and cluster.version == world.settings.versions.old
    callers = CALLERS[:-1] if checked else CALLERS
    stranger = next(machine.address for machine in world.machines.values() if machine.role == ONLINE)
    for user, over_socket in callers:
        try:
            session = cluster.login(user, None if over_socket else stranger, world.clock)
        except DatabaseError:
            continue
        write(world, cluster, session, read_write=True)
        cluster.close(session)
        return True
    # A session that is inside can always end its transaction and BEGIN READ WRITE.
    return bool(cluster.clients)


def _held_twice(world: World) -> list[str]:
    """DB_A holds what the old primary released, and nothing else; as long as both live. One that comes back, after DB_A has opened without
    it, knows of no release, and is sealed."""
    own, theirs = journal_of(world.target), journal_of(world.primary)
    if not (world.primary.running() and world.target.running() and own is not None and _holds(own)):
        return []
    says = theirs.authority if theirs is not None else Authority.NONE
    return (
        []
        if says is Authority.RELEASED or (own.alone and says is Authority.SEALED)
        else [f"DB_A holds the authority, and the old primary's journal says {says.value}"]
    )


def _lost(world: World, open_ones: list[str]) -> list[str]:
    """Acknowledged writes that are missing where writes go, or will go."""
    holders = {name for name in (world.primary.name, world.target.name) if _holds(journal_of(world.machines[name]))}
    found = []
    for name in sorted(holders | set(open_ones)):
        contents = [cluster.content for cluster in world.machines[name].running() if not cluster.recovery]
        for content in contents:
            missing = world.acknowledged - content
            if missing:
                found.append(f"{len(missing)} acknowledged writes are not on {name}, such as {min(missing)}")
    return found


def journal_of(machine: Machine) -> Journal | None:
    """A server's journal, as it is on its disk."""
    return _journal(machine.text(JOURNAL_FILE))


@cache
def _journal(text: str) -> Journal | None:
    return from_json(json.loads(text)) if text else None


def _holds(own: Journal | None) -> bool:
    return own is not None and own.authority is Authority.HOLDS


def _unread(world: World) -> list[str]:
    """Names that lead an online server to a database that does not let it in to read."""
    found = []
    for machine in world.machines.values():
        if machine.role != ONLINE:
            continue
        for name in world.settings.names:
            address = leads(machine, name)
            led = world.at(address)
            cluster = led.listening() if led is not None else None
            refused = "no PostgreSQL there" if cluster is None else cluster.admits("app", machine.address)
            if refused is not None:
                found.append(f"on {machine.name} {name} leads to {address}: {refused}")
            elif led is not None and led.role == NEW_REPLICA and not _follows_target(world, led):
                found.append(f"on {machine.name} {name} leads to {led.name}, which does not follow DB_A")
    return found


def _follows_target(world: World, machine: Machine) -> bool:
    """Whether a new replica could stream from DB_A right now."""
    leaders = world.target.running()
    return all(upstream(world, machine, cluster) in leaders for cluster in machine.running())


def _strayed(world: World) -> list[str]:
    """New replicas that run and are no standby, or one of anybody else but DB_A."""
    found = []
    for machine in world.machines.values():
        for cluster in machine.running() if machine.role == NEW_REPLICA else ():
            leader = upstream_of(cluster.settings.get("primary_conninfo", "")).get("host")
            if not cluster.recovery:
                found.append(f"{machine.name} runs, and is no standby")
            elif leader != world.target.address:
                found.append(f"{machine.name} follows {leader}")
    return found


def _waited_for(world: World) -> list[str]:
    """Commits on DB_A that wait for replicas of which none streams: writes would stand still."""
    streaming = {conninfo.get("application_name", "") for _, _, conninfo in standbys(world, world.target)}
    waits = {name for one in world.target.running() for name in named(one.settings["synchronous_standby_names"])}
    return [f"commits on DB_A wait for {' or '.join(sorted(waits))}"] if waits and not waits & streaming else []


def cut_off(machine: Machine, cluster: Cluster) -> list[str]:
    """The clients of an old database that is being stopped."""
    inside = [session.user for session in cluster.clients if not session.entering]
    is_old = machine.role in (PRIMARY, REPLICA)
    return [f"{machine.name} was stopped under {', '.join(inside)}"] if is_old and inside else []


def left_of_the_stream(world: World) -> list[str]:
    """What is there, after retire, of the stream back: on DB_A, and on the old primary."""
    found = []
    for cluster in world.target.running():
        found += [f"the slot {slot}" for slot in sorted(cluster.logical)]
        found += [f"the {name}" for name in (PUBLICATION,) if name in cluster.catalog]
        found += ["an added replica identity"] if cluster.catalog.get(IDENTITY, "d") != "d" else []
    copies = world.primary.tasks.get(UNIT) and world.primary.name not in world.unreachable
    found += [f"{UNIT} at work on {world.primary.name}"] if copies else []
    return found


def could_be_upgraded(world: World) -> bool:
    """Whether DB_A streams with the new version's cluster made and checked, or was promoted at the fence that stands, or the old
    primary is about to open again."""
    machine = world.target
    own, theirs = journal_of(machine), journal_of(world.primary)
    if own is not None and theirs is not None and own.upgraded_at is not None:
        return own.upgraded_at == theirs.fence or theirs.authority is Authority.HOLDS
    came = machine.read_json(TARGET_FILE)
    streams = [
        cluster for cluster in machine.running() if cluster.recovery and upstream(world, machine, cluster) is not None
    ]
    return bool(streams) and came.get("baseBackup") == "complete" and came.get("newCluster") == "fresh"
