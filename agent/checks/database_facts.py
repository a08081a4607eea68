"""The facts of a database server, in facts.py's form: what only means something beside the others."""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, Optional

from agent import amounts, trial
from agent.checks import room, versions
from agent.checks.check import OLD_DATABASES, Side
from agent.checks.each_database import in_each
from agent.checks.sight import Sight
from agent.client_sessions import CLIENTS, FOLLOWING

Look = Callable[[Sight], Any]


def _on(*sides: Side) -> Callable[[Look], Look]:
    """Of these sides only."""

    def wrap(look: Look) -> Look:
        return lambda sight: look(sight) if Side(sight.desired["side"]) in sides else None

    return wrap


_RUNNING = (*OLD_DATABASES, Side.TARGET)  # whose cluster of `sight.cluster` is asked
_DATABASES = (*_RUNNING, Side.NEW_REPLICA)


@_on(*_RUNNING)
def _version(sight: Sight) -> str:
    """The running server's, such as 15.18."""
    return versions.running(sight)[1]


@_on(*_DATABASES)
def _binaries(sight: Sight) -> Dict[str, Optional[str]]:
    """Major version -> the version that is installed, None if none is."""
    return {str(cluster.version): versions.installed(sight, cluster) for cluster in (sight.old, sight.new)}


@_on(*_RUNNING)
def _system_identifier(sight: Sight) -> str:
    return str(sight.row("SELECT system_identifier::text AS id FROM pg_control_system()")["id"])


@_on(*_DATABASES)
def _glibc(_: Sight) -> Optional[str]:
    """Such as "glibc 2.36"; None on another C library."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None


@_on(*_DATABASES)
def _icu(sight: Sight) -> Dict[str, Optional[str]]:
    """Major version of PostgreSQL -> that of the ICU it is linked to, None if none; only of what is installed."""
    found: Dict[str, Optional[str]] = {}
    for cluster in (sight.old, sight.new):
        if sight.is_installed(cluster):
            # libicui18n, which holds the collations: libxml2 may bring a libicuuc of its own. What a binary needs stands in it by name; ldd,
            # a shell script that has all of it loaded, took each server 0.1 s of a processor.
            linked = re.search(rb"libicui18n\.so\.(\d+)", sight.server.path(cluster.program("postgres")).read_bytes())
            found[str(cluster.version)] = linked.group(1).decode() if linked else None
    return found


@_on(*_RUNNING)
def _data_bytes(sight: Sight) -> int:
    """What a base backup copies: databases with all their tablespaces, and the WAL that lies there."""
    row = sight.row(
        "SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint + (SELECT sum(size) FROM pg_ls_waldir())::bigint AS bytes"
    )
    return int(row["bytes"])


@_on(*_DATABASES)
def _free_bytes(sight: Sight) -> int:
    return room.free(room.nearest(sight, sight.cluster.data)).bytes


@_on(*_DATABASES)
def _free_inodes(sight: Sight) -> Optional[int]:
    """None on a file system that makes inodes as it needs them."""
    return room.free(room.nearest(sight, sight.cluster.data)).inodes


@_on(*_DATABASES)
def _cores(_: Sight) -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


@_on(Side.OLD_PRIMARY)
def _databases(sight: Sight) -> int:
    """As agent.amounts counts them, template1 among them."""
    return len(sight.rows(amounts.DATABASES))


@_on(Side.OLD_PRIMARY)
def _relations(sight: Sight) -> int:
    return sum(int(row["relations"]) for row in in_each(sight, amounts.IN_A_DATABASE))


@_on(Side.OLD_PRIMARY)
def _most_relations(sight: Sight) -> int:
    """Of the database that has the most: it is dumped and restored by one process."""
    return max(int(row["relations"]) for row in in_each(sight, amounts.IN_A_DATABASE))


@_on(Side.OLD_PRIMARY)
def _large_objects(sight: Sight) -> int:
    return sum(int(row["objects"]) for row in in_each(sight, amounts.IN_A_DATABASE))


# Indexes, and partitions by range, whose order is the C library's. By code points, as C and POSIX have it, every version of it sorts alike:
# PostgreSQL itself keeps no version for these (pg_locale.c, get_collation_actual_version).
BY_C_LIBRARY = """SELECT count(*) AS number FROM (
  SELECT unnest(indcollation::oid[]) FROM pg_index WHERE indexrelid >= 16384
  UNION ALL SELECT unnest(partcollation::oid[]) FROM pg_partitioned_table WHERE partstrat = 'r'
) sorted(coll) JOIN pg_collation c ON c.oid = sorted.coll JOIN pg_database d ON d.datname = current_database()
WHERE CASE WHEN c.collprovider = 'd' THEN coalesce(to_jsonb(d)->>'datlocprovider', 'c') ELSE c.collprovider::text END = 'c'
  AND CASE WHEN c.collprovider = 'd' THEN d.datcollate ELSE c.collcollate END !~* '^(C|POSIX)([.]|$)'"""


@_on(Side.OLD_PRIMARY)
def _sorted_by_c_library(sight: Sight) -> int:
    return sum(int(row["number"]) for row in in_each(sight, BY_C_LIBRARY))


@_on(Side.TARGET)
def _trial_seconds(sight: Sight) -> Optional[float]:
    """What the schema trial took to dump and restore all definitions; None if there was none, or if not all could be restored."""
    record = trial.last(sight.whole_server)
    if record is None or record["found"]:
        return None
    return round(float(record["seconds"]["dump"]) + float(record["seconds"]["restore"]), 2)


@_on(*_RUNNING)
def _max_connections(sight: Sight) -> int:
    return int(sight.settings()["max_connections"])


@_on(*_RUNNING)
def _reserved_connections(sight: Sight) -> int:
    """Those that an ordinary role does not get (16 made a second kind)."""
    settings = sight.settings()
    return int(settings["superuser_reserved_connections"]) + int(settings.get("reserved_connections", "0"))


@_on(*_RUNNING)
def _client_sessions(sight: Sight) -> Dict[str, int]:
    """Address -> the sessions of clients from there; `socket` for those of the server itself. Not this one."""
    rows = sight.rows(
        "SELECT coalesce(host(client_addr), 'socket') AS address, count(*) AS sessions FROM pg_stat_activity"
        f" WHERE {CLIENTS} AND NOT {FOLLOWING} AND pid <> pg_backend_pid() AND application_name <> 'pgleap' GROUP BY 1 ORDER BY 1"
    )
    return {row["address"]: int(row["sessions"]) for row in rows}


@_on(Side.OLD_PRIMARY)
def _wal_bytes_a_second(sight: Sight) -> float:
    """On average since its statistics were reset; 0.0 before version 14."""
    return round(room.wal_rate(sight), 1)


LOOKS: Dict[str, Look] = {
    "version": _version,
    "binaries": _binaries,
    "systemIdentifier": _system_identifier,
    "glibc": _glibc,
    "icu": _icu,
    "dataBytes": _data_bytes,
    "freeBytes": _free_bytes,
    "freeInodes": _free_inodes,
    "cores": _cores,
    "databases": _databases,
    "relations": _relations,
    "mostRelations": _most_relations,
    "largeObjects": _large_objects,
    "trialSeconds": _trial_seconds,
    "sortedByCLibrary": _sorted_by_c_library,
    "maxConnections": _max_connections,
    "reservedConnections": _reserved_connections,
    "clientSessions": _client_sessions,
    "walBytesPerSecond": _wal_bytes_a_second,
}
