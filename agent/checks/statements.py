"""What the application says to the old primary, by pg_stat_statements: writes in spite of the seal, reads that no standby serves."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side, Unseen
from agent.checks.sight import Sight
from agent.checks.wording import few, one_line
from agent.client_rules import LOCAL_ROLE, READER

EXTENSION = "SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'"
# What a standby refuses, or answers otherwise (documentation, "Hot Standby: User's Overview"), in statements that begin as reads
# do: a write fails in the window in any case.
_READ = r"^\s*(select|with|values|table|call|do|declare)\M"
UNSERVED = (
    (
        "makes a temporary table",
        r"^\s*create\s+(global\s+|local\s+)?temp(orary)?\M|^\s*select\M.*\minto\s+temp(orary)?\M",
    ),
    ("listens or notifies", r"^\s*(listen|unlisten|notify)\M|\mpg_notify\s*\("),
    ("wants a serializable transaction", r"\misolation\s+level\s+serializable\M|transaction_isolation\M.*serializable"),
)
# What nearly every application says on its way to a write, which is refused in the window in any case.
BEFORE_A_WRITE = (
    ("takes row locks", rf"{_READ}.*\mfor\s+(no\s+key\s+update|update|key\s+share|share)\M"),
    ("takes a value of a sequence", rf"{_READ}.*\m(nextval|setval)\s*\("),
    ("takes a transaction id", rf"{_READ}.*\m(txid_current|pg_current_xact_id)\s*\("),
    ("takes advisory locks, which each server has for itself", r"\mpg_(try_)?advisory_(xact_)?lock"),
)
# What a foreign key asks on behalf of a write (ri_triggers.c; without ONLY of a partitioned table), where functions' statements are
# tracked too.
_FOREIGN_KEY = r"^SELECT \S+ FROM (ONLY )?.* x WHERE .* FOR KEY SHARE OF x$"
# ALTER ROLE and ALTER DATABASE say so for others: what they left is the check READ_ONLY_SETTINGS's.
READ_WRITE = r"^(?!\s*alter\M).*(\mread\s+write\M|transaction_read_only\s*(=|to)\s*'?(off|false|no|0))"


def _matching(sight: Sight, pattern: str) -> List[Dict[str, Any]]:
    """The statements that match, as often called ones first; pgleap's own are not among them. Raises Unseen."""
    having = next((name for name in sight.databases() if sight.rows(EXTENSION, name)), None)
    if having is None:
        raise Unseen(
            "no database has pg_stat_statements: shared_preload_libraries = 'pg_stat_statements', a restart, CREATE EXTENSION"
            " pg_stat_statements, and a day of traffic show what the application says"
        )
    if "pg_stat_statements" not in sight.settings()["shared_preload_libraries"]:
        raise Unseen("pg_stat_statements is not in shared_preload_libraries, so it counts nothing")
    # Qualified as the extension is, wherever it was put.
    schema = sight.row(
        "SELECT quote_ident(n.nspname) AS name FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'pg_stat_statements'",
        having,
    )["name"]
    return sight.rows(
        "SELECT coalesce(d.datname, '?') AS database, left(s.query, 2000) AS query, sum(s.calls)::bigint AS calls"
        f" FROM {schema}.pg_stat_statements s LEFT JOIN pg_database d ON d.oid = s.dbid LEFT JOIN pg_roles r ON r.oid = s.userid"
        f" WHERE s.query ~* $re${pattern}$re$ AND s.query !~ $re${_FOREIGN_KEY}$re$"
        f" AND coalesce(r.rolname, '') NOT IN ('{READER}', '{LOCAL_ROLE}')"
        " GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 200",
        having,
    )


def _told(row: Dict[str, Any]) -> str:
    return f"{row['database']}: {one_line(row['query'])} ({row['calls']} calls)"


def _read_write_statements(sight: Sight) -> List[str]:
    return few([_told(row) for row in _matching(sight, READ_WRITE)])


def _of_these(sight: Sight, patterns: Sequence[Tuple[str, str]]) -> List[str]:
    return few([f"{_told(row)} {what}" for what, pattern in patterns for row in _matching(sight, pattern)])


def _standby_reads(sight: Sight) -> List[str]:
    return _of_these(sight, UNSERVED)


def _locking_reads(sight: Sight) -> List[str]:
    return _of_these(sight, BEFORE_A_WRITE)


CHECKS = (
    Check(
        name=CheckName.READ_WRITE_STATEMENTS,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="READ WRITE overrules the setting that makes a sealed database read-only, so such a session is ended instead of told",
        do="see that the application comes back after its session was ended; nothing it does after the seal is accepted",
        look=_read_write_statements,
    ),
    Check(
        name=CheckName.STANDBY_READS,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="in the window reads go to DB_B, a standby, where these fail",
        do="try the application against a replica, writes disabled; turn such pages off for the window, or let them do without",
        look=_standby_reads,
    ),
    Check(
        name=CheckName.LOCKING_READS,
        severity=Severity.NOTE,
        sides=(Side.OLD_PRIMARY,),
        why="on DB_B these fail too, or lock nothing for others; before a write, as they mostly stand, that is one error with the write's own",
        do="see that no page which only reads says so",
        look=_locking_reads,
    ),
)
