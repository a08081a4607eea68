"""The bound on what a rehearsal holds back on the old primary: a unit of its own there, which ends the rehearsal's slot as soon as that
keeps more WAL than the stack allows. `max_slot_wal_keep_size` would do so for every other slot too.

A reboot of the primary ends the unit; a raised round begins it again.
"""

from __future__ import annotations

from typing import Any, List, Mapping, Optional

from agent.cluster import from_desired
from agent.postgres import Postgres, wait_until
from agent.rehearsal import GUARD_UNIT, INSTALLED, SLOT_ROW
from agent.report import Refusal, progress
from agent.server import STATE_FOLDER, Server

REQUEST_FILE = f"{STATE_FOLDER}/guard.request.json"
EVERY_SECONDS = 5.0
ENDING_SECONDS = 30


def begin(desired: Mapping[str, Any], server: Server) -> List[str]:
    """Have the unit at work, with this bound. What was done."""
    asked = {name: desired[name] for name in ("postgres", "address", "walBytes")}
    active = server.run("systemctl", "is-active", GUARD_UNIT, check=False).stdout.strip() == "active"
    if active and server.read_json(REQUEST_FILE) == asked:
        return []
    end(server)
    server.write_json(REQUEST_FILE, asked)
    server.run(
        "systemd-run", f"--unit={GUARD_UNIT}", "--collect", "--quiet", "-p", "StandardError=null", "-p", "StandardOutput=null",
        "-p", "Restart=on-failure", "/usr/bin/env", "python3", "-I", INSTALLED, "guard",
    )  # fmt: skip
    return [f"guards the slot: it goes when it holds more than {desired['walBytes']} bytes back"]


def end(server: Server) -> None:
    server.run("systemctl", "stop", GUARD_UNIT, check=False)
    server.run("systemctl", "reset-failed", GUARD_UNIT, check=False)


def guard(server: Server) -> None:
    """Inside the unit: look, again and again."""
    asked = server.read_json(REQUEST_FILE)
    postgres = Postgres(server, from_desired(asked["postgres"]), asked["address"]).as_superuser()
    while True:
        try:
            if held(postgres) > int(asked["walBytes"]):
                drop_slot(postgres)
        except Refusal as refused:  # PostgreSQL may be restarting; the slot outlives that
            progress(str(refused))
        server.sleep(EVERY_SECONDS)


def held(postgres: Postgres) -> int:
    """Bytes of WAL that the rehearsal's slot keeps; 0 without one."""
    rows = postgres.rows(
        f"SELECT coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint AS held {SLOT_ROW}"
    )
    return int(rows[0]["held"]) if rows else 0


def drop_slot(postgres: Postgres) -> List[str]:
    """End who streams from it, and the slot. What was done. Raises Refusal."""
    dropped: List[str] = []

    def look() -> Optional[str]:
        if not postgres.rows(f"SELECT slot_name {SLOT_ROW}"):
            return None
        postgres.rows(f"SELECT pg_terminate_backend(active_pid) {SLOT_ROW} AND active")
        gone = postgres.rows(f"SELECT pg_drop_replication_slot(slot_name) {SLOT_ROW} AND NOT active")
        dropped.extend("dropped the rehearsal's slot" for _ in gone)
        return None if gone else "its standby still streams"

    wait_until(
        postgres.server,
        ENDING_SECONDS,
        "the rehearsal's slot to be gone",
        look,
        "see pg_replication_slots on the old primary, then run it again",
    )
    return dropped
