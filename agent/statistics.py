"""pg_upgrade carries no statistics over: they are gathered at once, beside everything else, and nothing is held up for them."""

from __future__ import annotations

from typing import List

from agent.client_rules import LOCAL_ROLE
from agent.cluster import SOCKET_FOLDER
from agent.postgres import NO_LIMITS, Postgres
from agent.server import STATE_FOLDER, Server

UNIT = "pgleap-statistics"
# Says that DB_A was sealed before they were whole.
STOPPED_FILE = f"{STATE_FOLDER}/statistics.json"


def begin(postgres: Postgres, jobs: int) -> None:
    """Gather them in a unit of its own, in stages: something is better than nothing soon."""
    server, cluster = postgres.server, postgres.cluster
    only_missing = ["--missing-stats-only"] if cluster.version >= 18 else []
    server.run("systemctl", "stop", UNIT, check=False)
    server.run(
        "systemd-run", f"--unit={UNIT}", "--collect", "--quiet",
        "-E", f"PGOPTIONS={NO_LIMITS} -c default_transaction_read_only=off",
        cluster.program("vacuumdb"), "--all", "--analyze-in-stages", *only_missing, f"--jobs={jobs}",
        f"--host={SOCKET_FOLDER}", f"--port={cluster.port}", f"--username={LOCAL_ROLE}",
    )  # fmt: skip


def stop(server: Server) -> None:
    """Stop it, if it still works: it takes transaction ids, and a fence is proved by them."""
    if server.run("systemctl", "is-active", UNIT, check=False).stdout.strip() == "active":
        server.write_json(STOPPED_FILE, {"stopped": True})
        server.run("systemctl", "stop", UNIT)


def resume(postgres: Postgres, jobs: int) -> List[str]:
    """Begin it again if a seal stopped it. What was done."""
    if not postgres.server.read_json(STOPPED_FILE):
        return []
    begin(postgres, jobs)
    postgres.server.write_json(STOPPED_FILE, {})
    return ["gathers statistics again"]
