"""Statements of pgleap's own that lock what clients use: tried for a moment, again and again, and no longer than a deadline.

Whoever comes after a statement that waits for a lock waits behind it, a mere reader too (PostgreSQL documentation, "Explicit Locking";
lmgr/proc.c, ProcSleep). So each try ends by lock_timeout, and before the next one the queue behind it drains.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from agent.postgres import Postgres
from agent.report import Refusal, progress

# Nobody waits behind pgleap for longer: less than a client notices, more than a busy server takes to grant a lock that is free.
TRY_MILLISECONDS = 200
# An autovacuum worker in the way is ended by the waiter's look for a deadlock, which comes after 1 s if nobody says otherwise.
DEADLOCK_MILLISECONDS = 50
# Several times a try: clients are held for less than a third of the time, and a transaction among them gets to its end.
REST_SECONDS = 0.5
# Longer than a statement of an application, shorter than a report or a dump, which a person has to know of.
DEADLINE_SECONDS = 60.0
SAY_SECONDS = 5.0
# As long as a try lasts, and half as long again.
LOOKS = 10
_PAUSE = f"SELECT pg_sleep({1.5 * TRY_MILLISECONDS / 1000 / LOOKS:g})"
# lock_not_available, deadlock_detected, serialization_failure; and internal_error, which is how two who change one row of a catalog at
# the same time end ("tuple concurrently updated").
BUSY = frozenset({"55P03", "40P01", "40001", "XX000"})
# As psql says it with VERBOSITY=verbose, in any language: "ERROR:  55P03: ...".
_STATE = re.compile(r"^[^\s:]+:  ([0-9A-Z]{5}): (.*)$", re.MULTILINE)
_HOLDERS = """SELECT w.pid AS waits, b.pid, coalesce(b.usename, b.backend_type) AS role, b.state, to_char(b.query_start, 'YYYY-MM-DD HH24:MI:SS') AS since,
  left(regexp_replace(b.query, '\\s+', ' ', 'g'), 60) AS query, CASE WHEN l.relation IS NOT NULL
    THEN pg_describe_object('pg_class'::regclass, l.relation, 0) WHEN l.locktype = 'object'
    THEN pg_describe_object(l.classid, l.objid, l.objsubid) ELSE 'a row' END AS object,
  (SELECT string_agg(p.gid, ', ') FROM pg_prepared_xacts p WHERE p.database = current_database()) AS prepared
FROM pg_stat_activity w JOIN pg_locks l ON l.pid = w.pid AND NOT l.granted
CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) u(pid) LEFT JOIN pg_stat_activity b ON b.pid = u.pid
WHERE w.application_name = 'pgleap' AND w.datname = current_database() AND w.usename = current_user ORDER BY b.pid"""


class Busy(Refusal):
    """A lock was not to be had within the deadline: what stands in the way goes away by itself."""


def execute(
    postgres: Postgres,
    sql: str,
    database: str = "postgres",
    writing: bool = False,
    seconds: float = DEADLINE_SECONDS,
    own_search_path: bool = False,
    what: str = "",
) -> None:
    """Run statements that are one to whoever looks: all of them once more if one found its lock taken.

    `own_search_path`: the fleet's, for what was made to run under it. `what` stands for them in what is said. Raises Refusal with PostgreSQL's message, or, after `seconds`,
    with what was locked and by whom.
    """
    _until_done(postgres, sql, database, writing, seconds, False, own_search_path, what or _short(sql))


def each(postgres: Postgres, statements: Sequence[str], database: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Run statements each for itself, written so that one which is done does nothing more: what is busy holds up none of the others.

    Raises Refusal as `execute` does.
    """
    if statements:
        _until_done(postgres, "\n".join(statements), database, True, seconds, True, False, _short(statements[0]))


def _until_done(
    postgres: Postgres,
    sql: str,
    database: str,
    writing: bool,
    seconds: float,
    goes_on: bool,
    own_search_path: bool,
    what: str,
) -> None:
    server = postgres.server
    began = said = server.monotonic()
    settings = {
        "lock_timeout": f"{TRY_MILLISECONDS}ms",
        "deadlock_timeout": f"{DEADLOCK_MILLISECONDS}ms",
        "client_min_messages": "error",  # a notice has an SQLSTATE too
    }
    holders: List[Dict[str, Any]] = []  # looked for once the first try has failed

    def attempt() -> Optional[str]:
        done = postgres.attempt(sql, database, settings, writing, goes_on, own_search_path)
        errors = _STATE.findall(done.stderr)
        wrong = [text for state, text in errors if state not in BUSY]
        if wrong or (done.returncode != 0 and not errors):
            raise Refusal(
                f"`{what}` to succeed in {database}",
                "; ".join(wrong) or done.stderr.strip()[-2000:],
                "mend what it says, then run the same command again",
            )
        return "; ".join(dict.fromkeys(text for _, text in errors)) or None

    def one(trying: bool) -> Tuple[Optional[str], List[Dict[str, Any]]]:
        return (attempt(), []) if trying else (None, _look(postgres, database))

    busy = attempt()
    while busy is not None:
        now = server.monotonic()
        if now - began > seconds:
            raise _refusal(what, database, seconds, holders, busy)
        if holders and now - said > SAY_SECONDS:
            progress(f"{database}: {_told(holders)}; tried again since {now - began:.0f} s, for {seconds:g} s at most")
            said = now
        server.sleep(REST_SECONDS)
        (busy, _), (_, seen) = server.side_by_side(one, (True, False), 2)
        holders = seen or holders


def _look(postgres: Postgres, database: str) -> List[Dict[str, Any]]:
    """Who stands in the way, while a try waits: one session looks several times, for both begin when they can."""
    looks = postgres.each_rows([_HOLDERS, _PAUSE] * LOOKS, database)
    return next((found for found in looks[::2] if found), [])


def _refusal(what: str, database: str, seconds: float, holders: Sequence[Dict[str, Any]], busy: str) -> Busy:
    pids = sorted({row["pid"] for row in holders if row["pid"]})
    end = f"; to end it there: {' '.join(f'SELECT pg_terminate_backend({pid});' for pid in pids)}" if pids else ""
    return Busy(
        f"a lock for `{what}` in {database} within {seconds:g} s",
        _told(holders) if holders else busy,
        f"wait for that to end, then run the same command again{end}",
    )


def _told(holders: Sequence[Dict[str, Any]]) -> str:
    """In words, each once. Pure."""
    sentences = [
        f"{row['object']} is held by process {row['pid']} of {row['role']} ({row['state']} since {row['since']}: {row['query']})"
        if row["pid"]
        else f"{row['object']} is held by a prepared transaction ({row['prepared']})"
        for row in holders
    ]
    return ", ".join(dict.fromkeys(sentences))


def _short(sql: str) -> str:
    words = " ".join(sql.split())
    return words if len(words) <= 120 else f"{words[:117]}..."
