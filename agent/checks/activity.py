"""What is at work on the old primary right now and would make the fence late."""

from __future__ import annotations

from typing import List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight
from agent.checks.wording import few

LONG_SECONDS = 60  # a transaction of that age is no request of a web server
WAITING_SECONDS = 5  # and so long no request waits for a lock


def _long_transactions(sight: Sight) -> List[str]:
    rows = sight.rows(
        "SELECT pid, coalesce(usename, '?') AS role, coalesce(datname, '?') AS database, state,"
        " extract(epoch FROM clock_timestamp() - xact_start)::bigint AS seconds FROM pg_stat_activity"
        f" WHERE backend_type = 'client backend' AND xact_start < clock_timestamp() - interval '{LONG_SECONDS} seconds'"
        " ORDER BY xact_start LIMIT 20"
    )
    return [
        f"{row['role']} in {row['database']} (process {row['pid']}, {row['state']}): {row['seconds']} s" for row in rows
    ]


def _prepared_transactions(sight: Sight) -> List[str]:
    rows = sight.rows("SELECT gid, database, owner FROM pg_prepared_xacts ORDER BY prepared LIMIT 20")
    return [f"{row['gid']} of {row['owner']} in {row['database']}" for row in rows]


def _locks(sight: Sight) -> List[str]:
    waiting = sight.rows(
        "SELECT pid, coalesce(usename, '?') AS role, coalesce(datname, '?') AS database, wait_event AS lock,"
        " extract(epoch FROM clock_timestamp() - query_start)::bigint AS seconds, array_to_string(pg_blocking_pids(pid), ', ') AS blockers"
        " FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'client backend'"
        f" AND query_start < clock_timestamp() - interval '{WAITING_SECONDS} seconds' ORDER BY query_start LIMIT 21"
    )
    found = [
        f"{row['role']} in {row['database']} (process {row['pid']}) waits {row['seconds']} s for a lock ({row['lock']}) that"
        f" process {row['blockers'] or '?'} has or waits for"
        for row in waiting
    ]
    held = sight.rows(
        "SELECT l.pid, l.relation::bigint AS relation, d.datname AS database, coalesce(a.usename, '?') AS role,"
        " extract(epoch FROM clock_timestamp() - a.xact_start)::bigint AS seconds FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'"
        f" AND l.relation >= 16384 AND a.xact_start < clock_timestamp() - interval '{WAITING_SECONDS} seconds' ORDER BY a.xact_start LIMIT 21"
    )
    for row in held:
        # A table that its transaction has just made has no name for others.
        names = sight.rows(
            f"SELECT oid::regclass::text AS name FROM pg_class WHERE oid = {row['relation']}", row["database"]
        )
        if names:
            found.append(
                f"{row['role']} (process {row['pid']}) has {names[0]['name']} of {row['database']} for itself alone"
                f" (ACCESS EXCLUSIVE), in a transaction of {row['seconds']} s"
            )
    return few(found)


CHECKS = (
    Check(
        name=CheckName.LONG_TRANSACTIONS,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="the seal gives a transaction under way graceSeconds, then ends its session",
        do="see what they are; have nightly jobs end before the window, or stop them",
        look=_long_transactions,
    ),
    Check(
        name=CheckName.PREPARED_TRANSACTIONS,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="a prepared transaction could be committed after the fence, and pg_upgrade refuses it",
        do="COMMIT PREPARED or ROLLBACK PREPARED them, and stop what makes them for the window",
        look=_prepared_transactions,
    ),
    Check(
        name=CheckName.LOCKS,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="whoever waits for a lock goes on after graceSeconds only as an ended session, and ACCESS EXCLUSIVE stops reads on replicas too",
        do="see what the process that blocks does; end it (pg_terminate_backend) if it hangs, and run no DDL in the window",
        look=_locks,
    ),
)
