"""What will happen, in order, as numbered sentences: the stack output that a reviewer reads and a preview diffs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.states import Gate, Phase, Stream, Target
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
        return f"{target} takes writes; {primary} is lost" if settings.phase is Phase.CUTOVER else "nobody takes writes"
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
    }
    return [f"{_named(servers)}: {leads[lead]}"]


def _lead_at_cutover(settings: Settings) -> str:
    address = settings.target.address
    there = [name for name, leads in settings.names_after.items() if leads == address]
    which = "every database name leads" if len(there) == len(settings.names) else f"{', '.join(there)} lead"
    staying = "" if len(there) == len(settings.names) else "; the others as they were, to old replicas that follow"
    return f"{which} to {settings.target.name} ({address}){staying}"


def _sessions(servers: tuple[Server, ...], who: str, settings: Settings) -> list[str]:
    if not servers:
        return []
    return [f"{_named(settings.replicas)}: idle sessions of {who} servers end where their names no longer lead"]


def _tasks(settings: Settings, desire: Desire) -> list[str]:
    by_state: dict[str, list[str]] = {}
    for worker in settings.workers:
        for unit, state in desire.tasks(worker)["tasks"].items():
            by_state.setdefault(state, []).append(f"{worker.name} ({unit})")
    return [f"{', '.join(units)}: {state}" for state, units in by_state.items()]


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
    }[desire.parts.stream]


Sentences = Callable[[Settings, Desire], list[str]]
SENTENCES: dict[Part, Sentences] = {
    Part.ANNOUNCE_OLD_PRIMARY: lambda s, d: _announced(s.primary, d),
    Part.ANNOUNCE_TARGET: lambda s, d: _announced(s.target, d),
    Part.CREDENTIALS: lambda s, _: [
        f"{_alive(s.primary, s.target)}: the role pgleap can read the other side's journal"
    ],
    Part.READY: lambda s, d: [f"{_alive(s.primary, s.target)}: ready for {d.phase}"],
    Part.TASKS: _tasks,
    Part.LOAD_BALANCER: lambda _, __: [],
    Part.ONLINE_HOSTS: lambda s, d: _hosts(s.online, d.parts.online_hosts, s),
    Part.ONLINE_SESSIONS: lambda s, _: _sessions(s.online, "online", s),
    Part.OTHER_HOSTS: lambda s, d: _hosts((*s.drained, *s.workers), d.parts.other_hosts, s),
    Part.OTHER_SESSIONS: lambda s, _: _sessions((*s.drained, *s.workers), "the other", s),
    Part.OLD_PRIMARY_GATE: _old_primary_gate,
    Part.TARGET_GATE: _target_gate,
    Part.TARGET_DATABASE: _database,
    Part.REVERSE_REPLICATION: _stream,
    Part.FINISH: lambda s, d: [f"{_alive(s.target, s.primary)}: {d.phase} is marked finished"],
}
