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
# How long it leaves a DB_A that has just opened to the clients that come over: names and pools move in about that time.
OPENING_SECONDS = 2


def begin(postgres: Postgres, jobs: int, after: int) -> None:
    """Gather them in a unit of its own, in stages: something is better than nothing soon. `after` so many seconds."""
    server = postgres.server
    server.run("systemctl", "stop", UNIT, check=False)
    wait = ["-p", f"ExecStartPre=/usr/bin/env sleep {after}"] if after else []
    server.run(
        "systemd-run", f"--unit={UNIT}", "--no-block", "--collect", "--quiet", *wait, *_in_unit(_environment(postgres)),
        "/bin/sh", "-c", f'"$@" && rm -f {server.place(OWED_FILE)}', "sh", *_command(postgres, jobs, LOCAL_ROLE),
    )  # fmt: skip


def _in_unit(environment: Mapping[str, str]) -> List[str]:
    """systemd-run's options for what a unit finds in its environment."""
    return [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]


def _environment(postgres: Postgres) -> Dict[str, str]:
    settings = session_settings.superusers(postgres.cluster.version)
    return {"PGOPTIONS": session_settings.options({**settings, "default_transaction_read_only": "off"}), **BYTES}


def _command(postgres: Postgres, jobs: int, role: str) -> List[str]:
    cluster = postgres.cluster
    only_missing = ["--missing-stats-only"] if cluster.version >= 18 else []
    return [
        cluster.program("vacuumdb"), "--all", "--analyze-in-stages", *only_missing, f"--jobs={jobs}",
        f"--host={SOCKET_FOLDER}", f"--port={cluster.port}", f"--username={role}",
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
        *_command(postgres, jobs, postgres.cluster.superuser),
        user="root", seconds=GATHER_SECONDS, on_line=on_line, environment=_environment(postgres),
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
