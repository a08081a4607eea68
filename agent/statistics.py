"""pg_upgrade carries no statistics over: they are gathered at once, beside everything else, and nothing is held up for them."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional

from agent import advice, journal, session_settings
from agent.client_rules import LOCAL_ROLE
from agent.cluster import SOCKET_FOLDER
from agent.postgres import BYTES, Postgres
from agent.report import Refusal, progress
from agent.server import STATE_FOLDER, Server

UNIT = "pgleap-statistics"
# There until they are whole: DB_A is to have them, and a reboot, a seal or an error may have ended what was begun.
OWED_FILE = f"{STATE_FOLDER}/statistics.json"
# Where somebody waits for them.
GATHER_SECONDS = 86_400.0
# What vacuumdb --all analyzes, for when it cannot: it ends at the first table that fails (an expression index whose function needs a
# search_path), and neither what is left of that database nor any database after it has statistics.
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY oid"
TABLES = (
    "SELECT 'ANALYZE ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ';' FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' ORDER BY c.oid"
)
# They stay owed then, and psql says of each statement that failed why it did. PGDATABASE takes a name as it is. One line, without what
# systemd reads otherwise in a unit: percent signs and backslashes.
_ALL_OR_ONE_BY_ONE = (
    'owed=$1 psql=$2 databases=$3 tables=$4; shift 4; "$@" && exec rm -f "$owed";'
    ' echo "vacuumdb stopped: each table is analyzed by itself";'
    ' PGDATABASE=postgres "$psql" -XAtq -c "$databases" | while IFS= read -r PGDATABASE; do'
    ' export PGDATABASE; "$psql" -XAtq -c "$tables" | "$psql" -XAtqb; done; exit 1'
)
# How long it leaves a DB_A that has just opened to the clients that come over: names and pools move in about that time.
OPENING_SECONDS = 2


def begin(postgres: Postgres, jobs: int, after: int) -> None:
    """Gather them in a unit of its own, in stages: something is better than nothing soon. `after` so many seconds."""
    server = postgres.server
    server.run("systemctl", "stop", UNIT, check=False)
    wait = ["-p", f"ExecStartPre=/usr/bin/env sleep {after}"] if after else []
    server.run(
        "systemd-run", f"--unit={UNIT}", "--no-block", "--collect", "--quiet", *wait, *_in_unit(environment_of(postgres, LOCAL_ROLE)),
        *all_or_one_by_one(postgres, jobs),
    )  # fmt: skip


def all_or_one_by_one(postgres: Postgres, jobs: int) -> List[str]:
    """The command line of the unit: it ends well only if every table was analyzed, and then none are owed."""
    owed, psql = postgres.server.place(OWED_FILE), postgres.cluster.program("psql")
    return ["/bin/sh", "-c", _ALL_OR_ONE_BY_ONE, "sh", owed, psql, DATABASES, TABLES, *_command(postgres, jobs)]


def _in_unit(environment: Mapping[str, str]) -> List[str]:
    """systemd-run's options for what a unit finds in its environment."""
    return [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]


def environment_of(postgres: Postgres, role: str) -> Dict[str, str]:
    """What vacuumdb and psql find in their environment."""
    cluster = postgres.cluster
    settings = session_settings.superusers(cluster.version)
    return {
        "PGHOST": SOCKET_FOLDER,
        "PGPORT": str(cluster.port),
        "PGUSER": role,
        "PGOPTIONS": session_settings.options({**settings, "default_transaction_read_only": "off"}),
        **BYTES,
    }


def _command(postgres: Postgres, jobs: int) -> List[str]:
    cluster = postgres.cluster
    only_missing = ["--missing-stats-only"] if cluster.version >= 18 else []
    return [
        cluster.program("vacuumdb"), "--all", "--analyze-in-stages", *only_missing, f"--jobs={jobs}",
    ]  # fmt: skip


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
    status = server.stream(
        *_command(postgres, jobs),
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
    return server.run("systemctl", "is-active", UNIT, check=False).stdout.strip() in ("active", "activating")


def owe(server: Server) -> None:
    """Have it done, by whoever asks next: right before an opening it would take the cores from what writes wait for."""
    server.write_json(OWED_FILE, {"owed": True})


def resume(postgres: Postgres, jobs: int, after: int = 0) -> List[str]:
    """Begin it if it is owed and not at work. What was done."""
    if not postgres.server.read_json(OWED_FILE) or _is_at_work(postgres.server):
        return []
    begin(postgres, jobs, after)
    return ["gathers statistics"]
