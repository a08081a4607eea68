"""What a server's facts mean beside another's: whether DB_A can be the primary's copy, and carry what it carries. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agent.check_names import CheckName
from agent.states import Target
from components.desired import Desire
from components.settings import Server
from scripts.preflight.outcome import Fleet, FleetCheck, Outcome, Said, Severity

ROOM = 1.2  # what a base backup needs beyond the data: WAL that is written meanwhile, and the new version's catalog
FEW_INODES = 10_000
NEARLY = 0.8


def _there(fleet: Fleet, servers: tuple[Server, ...]) -> Iterator[tuple[str, Said]]:
    """Those that were asked."""
    yield from ((server.name, fleet.said[server.name]) for server in servers if server.name in fleet.said)


def _primary(fleet: Fleet) -> Said | None:
    return fleet.said.get(fleet.settings.primary.name)


def _held_against(
    fleet: Fleet, outcome: Outcome, fact: str, servers: tuple[Server, ...]
) -> Iterator[tuple[str, str, str]]:
    """Each server's fact and the primary's, where they differ; what is not known is told in `outcome`."""
    primary = _primary(fleet)
    wanted = primary.fact(fact) if primary is not None else None
    if wanted is None:
        outcome.unseen[fleet.settings.primary.name] = (
            f"{fact}: {primary.unseen(fact) if primary else 'it was not asked'}"
        )
        return
    for name, said in _there(fleet, servers):
        found = said.fact(fact)
        if found is None:
            outcome.unseen[name] = f"{fact}: {said.unseen(fact)}"
            continue
        outcome.fine(name)
        if str(found) != str(wanted):
            yield name, str(found), str(wanted)


def _system_identifier(fleet: Fleet) -> Outcome:
    outcome, settings = Outcome(), fleet.settings
    # From the upgrade on DB_A's is its own.
    standby = Desire(settings).parts.database is Target.STANDBY
    servers = (*settings.replicas, *((settings.target,) if standby else ()))
    for name, found, wanted in _held_against(fleet, outcome, "systemIdentifier", servers):
        outcome.finds(name, f"{found}; {settings.primary.name} has {wanted}: it is no copy of it")
    return outcome


def _c_library(fleet: Fleet) -> Outcome:
    """The C library sorts by its own rules unless a collation says ICU, C or POSIX, so the one is refused if an index is sorted by it, and
    the other told: as a warning if the same version of PostgreSQL sorts otherwise there, else as a note, for a package of another version may
    well bring another ICU."""
    outcome, settings = Outcome(), fleet.settings
    servers, primary = (settings.target, *settings.new_replicas), settings.primary.name
    said = _primary(fleet)
    by_it = said.fact("sortedByCLibrary") if said is not None else None
    sorts = ", by which no index there is sorted" if by_it == 0 else ""
    for name, found, wanted in _held_against(fleet, outcome, "glibc", servers):
        outcome.finds(name, f"{found}; {primary} has {wanted}{sorts}")
    severities = [Severity.NOTE if sorts else Severity.REFUSE] if outcome.found else []
    for name, sentence, severity in _icu(fleet, outcome, servers):
        outcome.finds(name, sentence)
        severities.append(severity)
    outcome.mildest = min(severities, key=list(Severity).index, default=None)
    return outcome


def _icu(fleet: Fleet, outcome: Outcome, servers: tuple[Server, ...]) -> Iterator[tuple[str, str, Severity]]:
    """Facts are PostgreSQL's major version -> the version of the ICU that it is linked to."""
    settings, said = fleet.settings, _primary(fleet)
    on_primary: dict[str, str | None] = (said.fact("icu") if said is not None else None) or {}
    old = str(settings.versions.old)
    before = on_primary.get(old)
    if before is None:
        outcome.unseen[settings.primary.name] = f"icu: {said.unseen('icu') if said else 'it was not asked'}"
        return
    for name, one in _there(fleet, servers):
        if one.fact("icu") is None:
            outcome.unseen[name] = f"icu: {one.unseen('icu')}"
            continue
        for version, library in one.fact("icu").items():
            if library != on_primary.get(version, before):
                severity = Severity.WARN if version == old else Severity.NOTE
                yield (
                    name,
                    f"PostgreSQL {version} sorts by ICU {library}; {old} on {settings.primary.name} by {before}",
                    severity,
                )


def _disk_for_copy(fleet: Fleet) -> Outcome:
    outcome, target = Outcome(), fleet.settings.target.name
    said, primary = fleet.said.get(target), _primary(fleet)
    if said is None or primary is None:
        outcome.unseen[target] = "it or the primary was not asked"
        return outcome
    if said.fact("systemIdentifier") is not None or said.fact("dataBytes"):
        outcome.fine(target)  # it has its copy
        return outcome
    needed, free, inodes = primary.fact("dataBytes"), said.fact("freeBytes"), said.fact("freeInodes")
    if needed is None or free is None:
        missing = primary.unseen("dataBytes") if needed is None else said.unseen("freeBytes")
        outcome.unseen[target] = f"how much there is, or what is free, is not known: {missing}"
        return outcome
    outcome.fine(target)
    if free < needed * ROOM:
        outcome.finds(
            target,
            f"{_gigabytes(free)} free; the primary's data are {_gigabytes(needed)}, so {_gigabytes(needed * ROOM)} are needed",
        )
    # Some file systems have no fixed number, and say 0.
    if inodes and inodes < FEW_INODES:
        outcome.finds(target, f"{inodes} inodes free")
    return outcome


def _connections(fleet: Fleet) -> Outcome:
    """DB_B takes the online servers' sessions on every old database, beside those of others that it has; DB_A all of them."""
    outcome, settings = Outcome(), fleet.settings
    sessions: dict[str, dict[str, int]] = {}
    for name, said in _there(fleet, settings.old_databases):
        found = said.fact("clientSessions")
        if found is None:
            outcome.unseen[name] = f"clientSessions: {said.unseen('clientSessions')}"
            continue
        sessions[name] = {str(address): int(count) for address, count in found.items()}
    if not sessions:
        return outcome
    online = {server.address for server in settings.online}
    known = {server.address for server in settings.hosts_servers}
    db_b = settings.reads_from.name
    from_online = sum(_of(one, online) for one in sessions.values())
    from_known = sum(_of(one, known) for one in sessions.values())
    stay = sum(count for address, count in sessions.get(db_b, {}).items() if address not in online)
    # DB_A's settings are the primary's.
    asked = {db_b: (db_b, from_online + stay), settings.target.name: (settings.primary.name, from_known)}
    severities = []
    for name, (whose, needed) in asked.items():
        there = fleet.said.get(whose)
        most = there.fact("maxConnections") if there else None
        if there is None or most is None:
            why = there.unseen("maxConnections") if there else f"{whose} was not asked"
            outcome.unseen[name] = f"maxConnections: {why}"
            continue
        outcome.fine(name)
        reserved = int(there.fact("reservedConnections") or 0)
        room = int(most) - reserved
        if needed > NEARLY * room:
            outcome.finds(
                name,
                f"{needed} sessions of its clients just now, and room for {room} (max_connections {most}, {reserved} reserved)",
            )
            severities.append(Severity.REFUSE if needed > room else Severity.WARN)
    if Severity.REFUSE not in severities:
        outcome.mildest = Severity.WARN
    return outcome


def _of(sessions: dict[str, int], addresses: set[str]) -> int:
    return sum(count for address, count in sessions.items() if address in addresses)


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


CHECKS = (
    FleetCheck(
        CheckName.SYSTEM_IDENTIFIER, Severity.REFUSE, ("old replica", "DB_A"),
        "what is no copy of the primary cannot take its place",
        "find out whose replica it is; correct pgleap:servers, or make it anew by pg_basebackup from the primary",
        _system_identifier,
    ),
    FleetCheck(
        CheckName.C_LIBRARY, Severity.REFUSE, ("DB_A", "new replica"),
        "indexes on text are sorted by the library's rules; under another version look-ups miss rows, and unique is not unique",
        "make DB_A and the new replicas of the primary's release of the operating system; or have REINDEX of every index on text"
        " planned for DB_A before it opens, and accept it",
        _c_library,
    ),
    FleetCheck(
        CheckName.DISK_FOR_COPY, Severity.REFUSE, ("DB_A",),
        "a base backup that fills the disk fails after hours",
        "give DB_A a larger volume: 1.2 times the primary's data",
        _disk_for_copy,
    ),
    FleetCheck(
        CheckName.CONNECTIONS, Severity.REFUSE, ("old replica", "DB_A"),
        "DB_B alone takes the online servers' sessions while writes are refused, and DB_A then all; those beyond max_connections are"
        " refused (above 80 % it is a warning)",
        "raise max_connections (a restart; on the primary before its replicas have more), make pools smaller, or drain more servers",
        _connections,
    ),
)  # fmt: skip
