"""Replication slots that nobody is to stream from any more: each keeps WAL for ever, until the disk is full."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from agent.postgres import wait_until
from agent.server import Server

# What a walsender needs to end, with room for a loaded machine.
ENDING_SECONDS = 30


def drop(server: Server, rows: Callable[[str], List[Dict[str, Any]]], which: str) -> List[str]:
    """Drop the slots that the condition `which` is true of; whoever streams from one is ended first, also a lost server that lives on.

    `rows` asks the database that has them. What was done. Raises Refusal if a walsender does not end.
    """
    dropped: List[str] = []
    # Whoever streamed comes back 5 s later (wal_retrieve_retry_interval), and finds no slot.
    query = (
        "SELECT slot_name, active_pid,"
        " CASE WHEN active_pid IS NULL THEN pg_drop_replication_slot(slot_name) END AS dropped,"
        " CASE WHEN active_pid IS NOT NULL THEN pg_terminate_backend(active_pid) END AS ended"
        f" FROM pg_replication_slots WHERE {which}"
    )

    def look() -> Optional[str]:
        found = rows(query)
        dropped.extend(row["slot_name"] for row in found if row["active_pid"] is None)
        held = [f"process {row['active_pid']} streams from {row['slot_name']}" for row in found if row["active_pid"]]
        return "; ".join(held) or None

    wait_until(
        server,
        ENDING_SECONDS,
        "nobody to stream from a slot that is to go",
        look,
        "see pg_replication_slots there for who does, end it, then run `pulumi up` again",
    )
    return [f"dropped the slot {name}" for name in dropped]
