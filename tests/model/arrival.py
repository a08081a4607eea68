"""What holds whenever an `up` has arrived: ordinary clients are served where the phase says so, what runs is what a restart would bring,
and nothing is left behind that nobody needs any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.own_names import SLOT
from agent.replication import slot_of
from agent.seal_settings import SEAL_FILE
from agent.states import Phase, Stream
from agent.statistics import OWED_FILE, UNIT
from tests.model.clients import leads, write
from tests.model.cluster import DEFAULTS, Cluster, DatabaseError
from tests.model.invariants import ONLINE, journal_of

if TYPE_CHECKING:
    from tests.model.declared import DeclaredStep
    from tests.model.machine import Machine
    from tests.model.world import World

Declared = Mapping[str, "DeclaredStep"]
# With DB_A open, and with a stream back that is led by it, or made ready.
OPEN = (Phase.CUTOVER, Phase.REPLICAS, Phase.RETIRE)
STREAMED_BACK = (Phase.UPGRADE, Phase.CUTOVER, Phase.REPLICAS)
# Whose names are looked up by everybody; while writes are refused, the servers that are out of the load balancer have theirs as they were.
REFUSED = (Phase.READONLY, Phase.UPGRADE)


def amiss(world: World, phase: Phase, declared: Declared) -> list[str]:
    """What an operator who was told that all went well would find wrong, in sentences."""
    found = _unread(world, phase)
    if phase is Phase.PREPARE:
        found += _not_served(world, world.primary, "")
    if phase in OPEN:
        names = declared["db-a-synchronous-replication"].desired["names"] if phase is not Phase.CUTOVER else ""
        found += _not_served(world, world.target, names) + _without_statistics(world)
    if phase is Phase.UPGRADE:
        found += _without_statistics(world)
    return found + _left_running(world) + _kept_quiet(world, phase, declared) + _left_slots(world, phase, declared)


def _not_served(world: World, machine: Machine, names: str) -> list[str]:
    """What an ordinary client that writes would complain of; `names` are those that commits are to wait for."""
    cluster = machine.listening()
    if cluster is None:
        return [f"no PostgreSQL runs on {machine.name}, which is to take writes"]
    wanted = {"default_transaction_read_only": "off", "autovacuum": "on", "synchronous_standby_names": names}
    found = _set_otherwise(machine, cluster, wanted)
    try:
        session = cluster.login("app", _stranger(world), world.clock)
    except DatabaseError as refused:
        return [*found, f"an ordinary client does not get into {machine.name}: {refused}"]
    try:
        write(world, cluster, session)
    except DatabaseError as refused:
        found.append(f"an ordinary client's write on {machine.name}: {refused}")
    cluster.close(session)
    kept = machine.read_json(SEAL_FILE)
    return [*found, f"{machine.name} still has to set back {kept}"] if kept else found


def _set_otherwise(machine: Machine, cluster: Cluster, wanted: Mapping[str, str]) -> list[str]:
    """Settings that are not as wanted: as they run, and as the next start or reload would bring them."""
    on_disk = {**DEFAULTS, **{row["name"]: row["setting"] for row in machine.settings(cluster)}}
    return [
        f"{name} {where} {machine.name} is {settings[name]!r}"
        for where, settings in (("running on", cluster.settings), ("on the disk of", on_disk))
        for name, value in wanted.items()
        if settings[name] != value
    ]


def _stranger(world: World) -> str:
    return next(machine.address for machine in world.machines.values() if machine.role == ONLINE)


def _unread(world: World, phase: Phase) -> list[str]:
    """Names that lead somebody who is at work to no database that answers reads."""
    found = []
    for server in world.settings.hosts_servers:
        machine = world.machines[server.name]
        if machine.name in world.unreachable or (phase in REFUSED and machine.role != ONLINE):
            continue
        for name in world.settings.names:
            led = world.at(leads(machine, name))
            cluster = led.listening() if led is not None else None
            refused = "no PostgreSQL there" if cluster is None else cluster.admits("app", machine.address)
            found += [f"on {machine.name} nobody reads by {name}: {refused}"] if refused else []
    return found


def _without_statistics(world: World) -> list[str]:
    """Statistics are there, or on their way; while DB_A is sealed they may be owed."""
    found = []
    for cluster in world.target.running():  # none: it died since, and its step had been done
        owed = cluster.settings["default_transaction_read_only"] == "on" and world.target.read_json(OWED_FILE)
        cared_for = cluster.gathered or world.target.tasks.get(UNIT) or owed
        found += [] if cared_for else ["DB_A has no statistics, and nobody gathers them"]
    return found


def _left_running(world: World) -> list[str]:
    """A schema trial's server: it has memory, and pg_upgrade's port."""
    return [
        f"the server of a schema trial runs on {name}" for name, machine in world.machines.items() if machine.trials
    ]


def _kept_quiet(world: World, phase: Phase, declared: Declared) -> list[str]:
    """The old primary follows DB_A: from then on its rows die and are to be vacuumed."""
    step = declared.get("db1-reverse-replication")
    if phase not in OPEN or step is None or step.desired["stream"] != Stream.APPLYING.value:
        return []
    return [
        found
        for cluster in world.primary.running()  # none: it died since, and what it did stands
        for found in _set_otherwise(world.primary, cluster, {"autovacuum": "on"})
    ]


def _left_slots(world: World, phase: Phase, declared: Declared) -> list[str]:
    """Slots that nobody streams from any more: their WAL is kept until the disk is full."""
    found = []
    for cluster in world.primary.running():
        streams = phase in (Phase.PREPARE, Phase.READONLY) and "db-a-database" in declared
        allowed = {SLOT} if streams else set()
        found += [f"the slot {slot} on {world.primary.name}" for slot in sorted(cluster.slots - allowed)]
    step = declared.get("db-a-database")
    own = journal_of(world.target)
    # An old primary that is called lost, and that DB_A opened on the release of, may come back and follow.
    follows = "db1-client-gate" in declared or (own is not None and not own.alone)
    back = phase in STREAMED_BACK and follows and step is not None and "reverse" in step.desired
    replicas = {slot_of(one.name) for one in world.settings.new_replicas if one.name not in world.unreachable}
    for cluster in world.target.running() if phase in (*OPEN, Phase.UPGRADE) else ():
        left = {*(cluster.slots - replicas), *(() if back else cluster.logical)}
        found += [f"the slot {slot} on {world.target.name}" for slot in sorted(left)]
    return found
