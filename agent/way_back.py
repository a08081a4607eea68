"""Whether a way back from cutover that loses nothing exists right now: what stands against it, each in a sentence. Read only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from agent import configuration, copies, coverage, functions, publisher
from agent.postgres import Postgres
from agent.publisher import slot_of
from agent.report import Facts
from agent.subscriber import Subscriber

# The end of the log that is looked through for why a stream stopped.
LOG_BYTES = 1_000_000
LOG = "SELECT coalesce(pg_current_logfile(), '') AS file, current_setting('data_directory') AS data"


def against(subscriber: Subscriber) -> List[str]:
    """What stands against it on the old primary. Raises Refusal if DB_A does not answer."""
    wrong: List[str] = []
    for database, slot, mine in subscriber.by_database():
        if slot is None:
            wrong.append(f"{database} has no slot on DB_A: it was not there, or not seen, when DB_A was made ready")
        elif slot["status"] == "lost":
            wrong.append(f"{database}'s slot on DB_A is lost: it held back more WAL than max_slot_wal_keep_size allows")
        elif mine is None:
            wrong.append(f"{database} does not follow DB_A")
        elif not mine["enabled"] or not mine["works"]:
            wrong.append(_why_not(subscriber.postgres, database, mine))
    return wrong + _not_comparable(subscriber)


def _not_comparable(subscriber: Subscriber) -> List[str]:
    """Databases that follow, and whose functions are not this checkout's. DB_A has them from here, so nothing is asked there."""
    followed = list(subscriber.found())
    return [
        f"{database} has functions of another checkout of pgleap, by which both sides are compared: go back with the checkout that the"
        " window was run with"
        for database in functions.missing(subscriber.postgres, followed)
    ]


def _why_not(postgres: Postgres, database: str, mine: Mapping[str, Any]) -> str:
    error = logged_error(postgres, int(mine["oid"]))
    if error:
        return f"{database} stopped following: {error} ({what_helps(error)})"
    if not mine["enabled"]:
        return f"{database} stopped following: see the log of {postgres.cluster.unit}"
    limits = postgres.row(
        "SELECT current_setting('max_logical_replication_workers') AS appliers, current_setting('max_worker_processes') AS workers"
    )
    return (
        f"{database} has no worker that applies: each database needs one, and max_logical_replication_workers is"
        f" {limits['appliers']}, max_worker_processes {limits['workers']}"
    )


def what_helps(error: str) -> str:
    """What a person has to mend over an error of the stream, in a few words. Pure."""
    as_superuser = "as a superuser with default_transaction_read_only off"
    if re.search(r"logical replication target relation .* does not exist", error):
        return f"it is no row that is to be mended: make that table here, {as_superuser}"
    if re.search(r"\b(function|relation|type|operator|schema|collation) .* does not exist", error):
        return (
            "it is no row that is to be mended: what applies the stream has no search_path; here, "
            f"{as_superuser}: ALTER FUNCTION ... SET search_path = ..., of the function that names it"
        )
    return f"mend that row here, {as_superuser}"


def lag_bytes(subscriber: Subscriber) -> int:
    """How much of DB_A's WAL is not applied, of the database that is furthest behind."""
    return max((int(slot["behindBytes"] or 0) for slot in subscriber.slots().values()), default=0)


def logged_error(postgres: Postgres, subscription: int) -> Optional[str]:
    """The last error of a subscription's apply worker in the server's log; None if none is found there."""
    row = postgres.row(LOG)
    cluster = postgres.cluster
    named = [f"{row['data']}/{row['file']}"] if row["file"] else []
    for name in [*named, f"/var/log/postgresql/postgresql-{cluster.version}-{cluster.name}.log"]:
        path = postgres.server.path(name)
        if path.exists():
            return find_error(_end_of(path), subscription)
    return None


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        return file.read().decode(errors="replace")


def find_error(log: str, subscription: int) -> Optional[str]:
    """The last error whose context names the subscription's origin: message, detail and where. Pure."""
    lines = log.splitlines()
    for number in range(len(lines) - 1, -1, -1):
        if f'replication origin "pg_{subscription}"' not in lines[number]:
            continue
        said: Dict[str, str] = {"CONTEXT": _after(lines[number], "CONTEXT")}
        for line in reversed(lines[max(0, number - 6) : number]):
            for kind in ("DETAIL", "ERROR"):
                if f"{kind}:" in line and kind not in said:
                    said[kind] = _after(line, kind)
            if "ERROR" in said:
                break
        if "ERROR" in said:
            where = re.search(r'for replication target relation "([^"]+)"', said["CONTEXT"])
            table = f" in {where[1]}" if where else ""
            return f"{said['ERROR']}{table}{': ' + said['DETAIL'] if said.get('DETAIL') else ''}"
    return None


def _after(line: str, kind: str) -> str:
    return line.partition(f"{kind}:")[2].strip()


def ahead(postgres: Postgres, left_out: Sequence[str], publisher: int) -> Dict[str, List[str]]:
    """What can be said on the old primary before the move: `notCovered` (see `_not_covered`), and `against`, limits that are too low for a
    stream in every database (they need a restart). `publisher` is DB_A's version."""
    databases = coverage.databases(postgres)
    uncovered = _not_covered(postgres, databases, left_out, publisher)
    return {"notCovered": uncovered, "against": too_low(postgres.row(LIMITS), len(databases))}


def _not_covered(postgres: Postgres, databases: Sequence[str], left_out: Sequence[str], publisher: int) -> List[str]:
    """What the stream does not carry, by name: tables, sequences, and databases that hold large objects."""
    found: List[str] = []
    asked = [coverage.QUERY, coverage.UNLOGGED_SEQUENCES, coverage.LARGE_OBJECTS]
    for database in databases:
        rows, unlogged, large = postgres.each_rows(asked, database)
        found += coverage.not_covered(database, coverage.tables_in(rows, database, left_out, publisher))
        found += [
            f"{database}: the sequence {row['name']} (it is unlogged: on DB_A it starts anew)" for row in unlogged
        ]
        if large[0]["any"]:
            found.append(f"{database}: large objects (the stream does not carry what is written to them)")
    return found


# An apply worker takes one of each (PostgreSQL documentation, "Logical Replication: Configuration Settings"); from 18 on a setting
# of its own limits the origins.
LIMITS = """SELECT current_setting('max_logical_replication_workers')::int AS max_logical_replication_workers,
  current_setting('max_worker_processes')::int AS max_worker_processes,
  coalesce(current_setting('max_active_replication_origins', true)::int, current_setting('max_replication_slots')::int) AS origins"""
# The launcher, and room for a parallel query.
OTHER_WORKERS = 2


def too_low(limits: Mapping[str, int], databases: int) -> List[str]:
    """The old primary's limits that do not suffice, each in a sentence. Pure."""
    wanted = {
        "max_logical_replication_workers": databases,
        "max_worker_processes": databases + OTHER_WORKERS,
        "origins": databases,
    }
    names = {"origins": "max_replication_slots (from 18 on max_active_replication_origins)"}
    return [
        f"{names.get(name, name)} is {limits[name]} on the old primary, and {databases} databases need {least}: a restart raises it"
        " (replicas first, for max_worker_processes)"
        for name, least in wanted.items()
        if limits[name] < least
    ]


def seen_on_old_primary(subscriber: Subscriber) -> Facts:
    """For those who look, while there is a stream: how far it is, and what stands against a way back."""
    found = subscriber.found()
    if not found:
        return {}
    slots = subscriber.slots()
    own = {slot_of(database): database for database in found}
    return {
        "follows": {
            own[name]: {
                "behindBytes": slot["behindBytes"],
                "slot": slot["status"],
                "headroomBytes": slot["safeBytes"],
                "works": found[own[name]]["works"],
            }
            for name, slot in slots.items()
            if name in own
        },
        "against": against(subscriber),
        **copies.facts(subscriber.postgres.server, copies.arrived(found, slots, None)),
    }


def seen_on_target(postgres: Postgres, left_out: Sequence[str], jobs: int) -> Facts:
    """For those who look, once DB_A was made ready: what was changed since, and what is not carried."""
    if not postgres.server.path(publisher.BASELINE_FILE).exists():
        return {}
    uncovered = _not_covered(postgres, coverage.databases(postgres), left_out, postgres.cluster.version)
    return {"changes": publisher.changes(postgres, jobs), "notCovered": [*uncovered, *_set_since(postgres)]}


def _set_since(postgres: Postgres) -> List[str]:
    """What somebody set by ALTER SYSTEM on DB_A: it had the old primary's settings, and those are as they were."""
    carried = configuration.kept(postgres.server)
    if carried is None:
        return []
    ours = configuration.OF_THE_SEAL | configuration.OF_THE_SERVER | set(configuration.ALWAYS_OURS)
    return [
        f"{name} = {value!r}, which was set by ALTER SYSTEM on DB_A, and not on the old primary"
        for name, value in sorted(postgres.by_alter_system().items())
        if name not in ours and carried.by_alter_system.get(name) != value
    ]
