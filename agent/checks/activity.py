"""What is at work on the old primary right now and would make the fence late."""

from __future__ import annotations

from typing import List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight

LONG_SECONDS = 60  # a transaction of that age is no request of a web server


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
)
