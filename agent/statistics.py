"""pg_upgrade carries no statistics over, or not all: they are gathered at once, beside everything else, and nothing is held up for them."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from agent import advice, amounts, journal, session_settings
from agent.client_rules import LOCAL_ROLE
from agent.cluster import SOCKET_FOLDER
from agent.postgres import BYTES, Postgres
from agent.report import Refusal, progress
from agent.server import STATE_FOLDER, Server

UNIT = "pgleap-statistics"
# There until they are whole: DB_A is to have them, and a reboot, a seal or an error may have ended what was begun. Made by the agent, and
# taken away by the unit, which is ended before it is made again.
OWED_FILE = f"{STATE_FOLDER}/statistics.json"
# Where somebody waits for them.
GATHER_SECONDS = 86_400.0
# What vacuumdb --all analyzes, for when it cannot: it ends at the first table that fails (an expression index whose function needs a
# search_path), and neither what is left of that database nor any database after it has statistics. Each as a connection string, which
# vacuumdb would take a name with "=" in it for; chr(92) is a backslash.
DATABASES = (
    "SELECT 'dbname=''' || replace(replace(datname, chr(92), chr(92) || chr(92)), '''', chr(92) || '''') || ''''"
    " FROM pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY oid"
)
TABLES = (
    "SELECT 'ANALYZE ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ';' FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' ORDER BY c.oid"
)
# From this version on pg_upgrade carries over what the planner reads, but neither extended statistics nor the counts by which autovacuum
# goes: it names two commands (its output, "Some statistics are not transferred").
CARRIED_SINCE = 18
# All databases by one command; else one after another, and in one that fails table by table: psql says of each why it did. They stay owed
# then. One line, without what systemd reads otherwise in a unit: percent signs and backslashes.
_GATHER = (
    "owed=$1 psql=$2 databases=$3 tables=$4 vacuumdb=$5 jobs=$6; whole=yes; gather() {"
    ' "$vacuumdb" --all "$jobs" "$@" && return; whole=no;'
    ' echo "pgleap: a table cannot be analyzed, so one database is gathered after another";'
    ' "$psql" -XAtq -d postgres -c "$databases" | while IFS= read -r database; do'
    ' "$vacuumdb" -d "$database" "$jobs" "$@" </dev/null && continue;'
    ' echo "pgleap: $database: each table by itself";'
    ' "$psql" -XAtq -d "$database" -c "$tables" | "$psql" -XAtqb -d "$database"; done; };'
)
_IS_WHOLE = (
    ' if test "$whole" = yes; then echo "pgleap: every table has statistics"; exec rm -f "$owed"; fi;'
    ' echo "pgleap: some tables have none, each named above by its ERROR; mend it, then raise the round"; exit 1'
)
# Tables with something in them that nobody has analyzed: one that was, and holds no row, has none either.
_WITHOUT = """SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgleap')
  AND NOT EXISTS (SELECT FROM pg_statistic s WHERE s.starelid = c.oid) AND pg_stat_get_last_analyze_time(c.oid) IS NULL
  AND pg_stat_get_last_autoanalyze_time(c.oid) IS NULL AND pg_relation_size(c.oid) > 0 ORDER BY pg_relation_size(c.oid) DESC, 1"""
# So many are named of a database.
NAMED = 5
# How long it leaves a DB_A that has just opened to the clients that come over: names and pools move in about that time.
OPENING_SECONDS = 2


def begin(postgres: Postgres, jobs: int, after: int) -> None:
    """Gather them in a unit of its own, in stages: something is better than nothing soon. `after` so many seconds."""
    server = postgres.server
    server.run("systemctl", "stop", UNIT, check=False)
    # One that failed stays loaded, to be seen, and systemd starts no second one of its name.
    server.run("systemctl", "reset-failed", UNIT, check=False)
    wait = ["-p", f"ExecStartPre=/usr/bin/env sleep {after}"] if after else []
    server.run(
        "systemd-run", f"--unit={UNIT}", "--no-block", "--quiet", *wait, *_in_unit(environment_of(postgres, LOCAL_ROLE)),
        *unit(postgres, jobs),
    )  # fmt: skip


def unit(postgres: Postgres, jobs: int) -> List[str]:
    """The command line of the unit: it ends well only if every table was analyzed, and then none are owed."""
    owed, cluster = postgres.server.place(OWED_FILE), postgres.cluster
    passes = "".join(f" gather {' '.join(options)};" for options in _passes(cluster.version))
    given = [owed, cluster.program("psql"), DATABASES, TABLES, cluster.program("vacuumdb"), f"--jobs={jobs}"]
    return ["/bin/sh", "-c", _GATHER + passes + _IS_WHOLE, "sh", *given]


def _passes(version: int) -> List[List[str]]:
    """vacuumdb's options, once for each time that it is called."""
    if version < CARRIED_SINCE:
        return [["--analyze-in-stages"]]
    return [["--analyze-in-stages", "--missing-stats-only"], ["--analyze-only"]]


def _in_unit(environment: Mapping[str, str]) -> List[str]:
    """systemd-run's options for what a unit finds in its environment."""
    return [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]


def environment_of(postgres: Postgres, role: str) -> Dict[str, str]:
    """What vacuumdb and psql find in their environment."""
    cluster = postgres.cluster
    settings = session_settings.superusers(cluster.version)
    return {
        "PGHOST": postgres.sockets(SOCKET_FOLDER),
        "PGPORT": str(cluster.port),
        "PGUSER": role,
        "PGOPTIONS": session_settings.options({**settings, "default_transaction_read_only": "off"}),
        **BYTES,
    }


def gather(postgres: Postgres, jobs: int) -> Dict[str, float]:
    """Gather them now, as the superuser, and wait: the seconds until the first, coarse ones were there, and until all were. Raises Refusal."""
    server = postgres.server
    began = server.monotonic()
    tail: List[str] = []
    first: Optional[float] = None

    def on_line(line: str) -> None:
        nonlocal first
        tail.append(line)
        del tail[:-20]
        # vacuumdb goes through all databases in one stage, and says which: "Generating medium optimizer statistics (10 targets)".
        if first is None and "(10 targets)" in line:
            first = server.monotonic() - began
            progress("the first statistics are there")

    progress("gathering statistics, in stages")
    for options in _passes(postgres.cluster.version):
        status = server.stream(
            postgres.cluster.program("vacuumdb"), "--all", f"--jobs={jobs}", *options,
            user="root", seconds=GATHER_SECONDS, on_line=on_line, environment=environment_of(postgres, postgres.cluster.superuser),
        )  # fmt: skip
        if status != 0:
            found = f"exit status {status}: {' '.join(tail)[-1500:]}" if status is not None else "it was ended"
            raise Refusal(
                f"vacuumdb to gather statistics within {GATHER_SECONDS:g} s",
                found,
                f"mend what it says, then: {advice.again(advice.higher(journal.must_read(server).round))}",
            )
    whole = server.monotonic() - began
    return {"firstStatistics": round(whole if first is None else first, 2), "statistics": round(whole, 2)}


def stop(server: Server) -> None:
    """Stop it, if it still works: it takes transaction ids, and a fence is proved by them."""
    if _is_at_work(server):
        server.run("systemctl", "stop", UNIT)


def _is_at_work(server: Server) -> bool:
    return _state(server) in ("active", "activating")


def _state(server: Server) -> str:
    return server.run("systemctl", "is-active", UNIT, check=False).stdout.strip()


def seen(postgres: Postgres, jobs: int) -> Optional[Dict[str, Any]]:
    """For those who look: None once they are whole. Else `state`, one of running, failed (it came to its end, and a table has none) and owed
    (nobody gathers them), and `without`: how many tables of each database have none, and the names of the largest."""
    server = postgres.server
    if not server.read_json(OWED_FILE):
        return None
    state = {"active": "running", "activating": "running", "failed": "failed"}.get(_state(server), "owed")
    databases = [row["datname"] for row in postgres.rows(amounts.DATABASES)]
    found = server.side_by_side(lambda name: postgres.rows(_WITHOUT, name), databases, jobs)
    without = {
        name: {"tables": len(rows), "largest": [row["name"] for row in rows[:NAMED]]}
        for name, rows in zip(databases, found)
        if rows
    }
    return {"state": state, "without": without}


def owe(server: Server) -> None:
    """Have it done, by whoever asks next: right before an opening it would take the cores from what writes wait for."""
    server.write_json(OWED_FILE, {"owed": True})


def resume(postgres: Postgres, jobs: int, after: int = 0) -> List[str]:
    """Begin it if it is owed and not at work. What was done."""
    if not postgres.server.read_json(OWED_FILE) or _is_at_work(postgres.server):
        return []
    begin(postgres, jobs, after)
    return ["gathers statistics"]
