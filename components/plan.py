"""What will happen, in order, as numbered sentences: the stack output that a reviewer reads and a preview diffs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.states import Gate, Stream, Target
from components.desired import Desire
from components.order import ORDER, Part
from components.phases import Lead
from components.settings import Server, Settings


def plan(settings: Settings) -> list[str]:
    """One sentence for each part of the phase that has something to it, in the order of its steps."""
    desire = Desire(settings)
    sentences = [
        text for stage in ORDER[settings.phase] for part in stage for text in SENTENCES[part](settings, desire)
    ]
    return [f"{number}. {text}" for number, text in enumerate(sentences, start=1)]


def authority(settings: Settings) -> str:
    """Who may write once the phase is reached."""
    primary, target = settings.primary.name, settings.target.name
    if settings.primary.lost:
        opened = Desire(settings).parts.upgrade_target is Gate.OPEN
        return f"{target} takes writes; {primary} is lost" if opened else "nobody takes writes"
    return {
        Gate.OPEN: f"{primary} takes writes",
        Gate.SEALED: f"{primary} holds the authority and is sealed: writes are refused, reads go to {settings.reads_from.name}",
        Gate.RELEASED: f"{target} takes writes; {primary} released its authority",
    }[Desire(settings).parts.old_primary]


def _named(servers: Iterable[Server]) -> str:
    return ", ".join(server.name for server in servers)


def _hosts(servers: tuple[Server, ...], lead: Lead, settings: Settings) -> list[str]:
    if not servers:
        return []
    leads = {
        Lead.AS_THEY_WERE: "every database name leads where it led before pgleap",
        Lead.DB_B: f"every database name leads to {settings.reads_from.name} ({settings.reads_from.address}), which only reads",
        Lead.DB_A: _lead_at_cutover(settings),
        Lead.SPREAD: _lead_spread(settings),
    }
    return [f"{_named(servers)}: {leads[lead]}"]


def _lead_at_cutover(settings: Settings) -> str:
    address = settings.target.address
    there = [name for name, leads in settings.names_after.items() if leads == address]
    which = "every database name leads" if len(there) == len(settings.names) else f"{', '.join(there)} lead"
    staying = "" if len(there) == len(settings.names) else "; the others as they were, to old replicas that follow"
    return f"{which} to {settings.target.name} ({address}){staying}"


def _lead_spread(settings: Settings) -> str:
    by_address = {server.address: server.name for server in settings.servers.values()}
    there: dict[str, list[str]] = {}
    for name, address in settings.names_spread.items():
        there.setdefault(f"{by_address[address]} ({address})", []).append(name)
    return "; ".join(
        f"{', '.join(names)} {'leads' if len(names) == 1 else 'lead'} to {where}" for where, names in there.items()
    )


def _sessions(servers: tuple[Server, ...], who: str, lead: Lead, settings: Settings) -> list[str]:
    if not servers:
        return []
    if lead is Lead.DB_B:
        return [f"{_named(settings.replicas)}: sessions of {who} servers stay where they are, and read on"]
    return [f"{_named(settings.replicas)}: idle sessions of {who} servers end where their names no longer lead"]


def _tasks(settings: Settings, desire: Desire) -> list[str]:
    by_state: dict[str, list[str]] = {}
    for worker in settings.workers:
        for unit, state in desire.tasks(worker)["tasks"].items():
            by_state.setdefault(state, []).append(f"{worker.name} ({unit})")
    return [f"{', '.join(units)}: {state}" for state, units in by_state.items()]


def _load_balancer(settings: Settings, desire: Desire) -> list[str]:
    limits = settings.load_balancer
    if not settings.balanced:
        return []
    if desire.parts.drained_in_load_balancer:
        means = "by command" if limits.commands else "healthy"
        return [f"{_named(settings.balanced)}: in the load balancer, {means} within {limits.healthy_seconds} s"]
    means = "by command" if limits.commands else "connections drained"
    return [f"{_named(settings.balanced)}: out of the load balancer, {means} within {limits.drain_seconds} s"]


def _alive(*servers: Server) -> str:
    return _named(server for server in servers if not server.lost)


def _announced(server: Server, desire: Desire) -> list[str]:
    if server.lost:
        return [f"{server.name}: lost, so it is told nothing and asked nothing"]
    return [f"{server.name}: {desire.phase} in round {desire.settings.round} is announced in its journal"]


def _old_primary_gate(settings: Settings, desire: Desire) -> list[str]:
    server = settings.primary.name
    if settings.primary.lost:
        return []
    target = settings.target.name
    if desire.parts.new_replicas:
        return [f"{server}: stays sealed, and released to {target}"]
    first = f"; first, if {target} had opened, it applies all that {target} took"
    if settings.accept_data_loss:
        first = f", without what only {target} holds"
    return {
        Gate.OPEN: [f"{server}: open, takes writes{first}"],
        Gate.SEALED: [
            f"{server}: sealed (sessions at work get {settings.limits.grace_seconds} s), its last write recorded as the fence"
        ],
        Gate.RELEASED: [
            f"{server}: proves that nothing was written since the fence, releases the authority to {settings.target.name}"
        ],
    }[desire.parts.old_primary]


def _target_gate(settings: Settings, desire: Desire) -> list[str]:
    server = settings.target.name
    if settings.target.lost:
        return []
    if desire.parts.new_replicas:
        return [f"{server}: stays open"]
    if desire.parts.upgrade_target is Gate.OPEN and settings.primary.lost:
        return [f"{server}: opens on the fence that it replayed; {settings.primary.name} is lost, and must not answer"]
    if desire.parts.upgrade_target is Gate.OPEN:
        return [f"{server}: opens, once it has read seal, fence and release from {settings.primary.name}"]
    return [f"{server}: refuses clients"]


def _database(settings: Settings, desire: Desire) -> list[str]:
    server, old, new = settings.target.name, settings.versions.old, settings.versions.new
    if settings.target.lost:
        return []
    if desire.parts.database is Target.STANDBY:
        return [
            f"{server}: a sealed standby of {settings.primary.name} on PostgreSQL {old}, with PostgreSQL {new} installed and checked"
        ]
    if desire.parts.new_replicas:
        return [f"{server}: stays the primary, on PostgreSQL {new}"]
    mode, limit = settings.postgres.transfer_mode, settings.limits.upgrade_seconds
    return [
        f"{server}: replays the fence, is promoted, pg_upgrade --{mode} to PostgreSQL {new} within {limit} s, started sealed"
    ]


def _stream(settings: Settings, desire: Desire) -> list[str]:
    server, target = settings.primary.name, settings.target.name
    if settings.primary.lost or not settings.reverse_replication.enabled:
        return []
    return {
        Stream.NONE: [],
        Stream.READY: [f"{server}: follows {target}, if {target} has opened"],
        Stream.APPLYING: [f"{server}: follows {target} by logical replication, for a way back that loses nothing"],
        Stream.REMOVED: [f"{server}: follows {target} no more; there is no way back from here on"],
    }[desire.parts.stream]


def _replication(settings: Settings, desire: Desire) -> list[str]:
    """DB_A's side: who streams from it, and that the stream back leaves nothing there."""
    target, standbys = settings.target.name, desire.replication()["standbys"]
    said = [f"{target}: lets {', '.join(standbys)} stream as {settings.replication.user}"] if standbys else []
    if desire.parts.stream is Stream.REMOVED:
        said.append(f"{target}: publication, slots and identities of the stream back are taken away")
    return said


def _synchronous(settings: Settings, desire: Desire) -> list[str]:
    names = desire.synchronous_replication()["names"]
    target = settings.target.name
    if names:
        return [f"{target}: commits wait for {names}, once they stream"]
    # Only where it may have to be undone.
    return [f"{target}: commits wait for no replica"] if settings.replication.synchronous_standby_names else []


def _new_replicas(settings: Settings, _: Desire) -> list[str]:
    replicas, target = settings.new_replicas, settings.target.name
    if not replicas:
        return []
    within = f"at most {settings.limits.lag_bytes} bytes behind within {settings.limits.stream_seconds} s"
    return [f"{_named(replicas)}: a base backup of {target}, and then streams, {within}"]


def _new_replica_sessions(settings: Settings, _: Desire) -> list[str]:
    replicas = settings.new_replicas
    return [f"{_named(replicas)}: idle sessions end where names no longer lead"] if replicas else []


def _unused(settings: Settings, _: Desire) -> list[str]:
    return [f"{_named(settings.old_databases)}: must be without clients, watched for {settings.limits.watch_seconds} s"]


def _retirement(settings: Settings, _: Desire) -> list[str]:
    return [
        f"{_named(settings.old_databases)}: PostgreSQL {settings.versions.old} is stopped and disabled; its files stay"
    ]


def _instances(settings: Settings, _: Desire) -> list[str]:
    ended = settings.terminated
    return [f"{_named(ended)}: the instance is terminated, after a last snapshot of its volumes"] if ended else []


Sentences = Callable[[Settings, Desire], list[str]]
SENTENCES: dict[Part, Sentences] = {
    Part.ANNOUNCE_OLD_PRIMARY: lambda s, d: _announced(s.primary, d),
    Part.ANNOUNCE_TARGET: lambda s, d: _announced(s.target, d),
    Part.CREDENTIALS: lambda s, _: [
        f"{_alive(s.primary, s.target)}: the role pgleap can read the other side's journal"
    ],
    Part.READY: lambda s, d: [f"{_alive(s.primary, s.target)}: ready for {d.phase}"],
    Part.TASKS: _tasks,
    Part.LOAD_BALANCER: _load_balancer,
    Part.ONLINE_HOSTS: lambda s, d: _hosts(s.online, d.parts.online_hosts, s),
    Part.ONLINE_SESSIONS: lambda s, d: _sessions(s.online, "online", d.parts.online_hosts, s),
    Part.OTHER_HOSTS: lambda s, d: _hosts((*s.drained, *s.workers), d.parts.other_hosts, s),
    Part.OTHER_SESSIONS: lambda s, d: _sessions((*s.drained, *s.workers), "the other", d.parts.other_hosts, s),
    Part.OLD_PRIMARY_GATE: _old_primary_gate,
    Part.TARGET_GATE: _target_gate,
    Part.TARGET_DATABASE: _database,
    Part.REVERSE_REPLICATION: _stream,
    Part.REPLICATION: _replication,
    Part.SYNCHRONOUS_REPLICATION: _synchronous,
    Part.NEW_REPLICAS: _new_replicas,
    Part.NEW_REPLICA_SESSIONS: _new_replica_sessions,
    Part.UNUSED: _unused,
    Part.RETIREMENT: _retirement,
    Part.OLD_INSTANCES: _instances,
    Part.FINISH: lambda s, d: [f"{_alive(s.target, s.primary)}: {d.phase} is marked finished"],
}
