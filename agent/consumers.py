"""Who follows a database by a logical slot (change data capture, subscribers elsewhere) while it is sealed: drained, told of, ended.

Such a session speaks SQL and can write as soon as it stops streaming, so none may be left when the fence is taken. Nor does its slot come
along: slots are in no base backup and on no standby (PostgreSQL documentation, "Logical Decoding Concepts: Replication Slots"). So it is
given time to get everything that clients wrote, and a person is told how far each slot came.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from agent import positions
from agent.journal import Fence
from agent.own_names import PUBLICATION
from agent.postgres import POLL_SECONDS, Postgres
from agent.report import progress
from agent.server import STATE_FOLDER, Server
from agent.subscriber import reached

FILE = f"{STATE_FOLDER}/consumers.json"
# Once it was sent everything, a subscriber confirms within a moment; others do so every 10 s or so (pg_recvlogical) and are not waited for.
CONFIRMING_SECONDS = 1.0
SLOTS = f"""SELECT s.slot_name AS slot, s.database, s.plugin, s.confirmed_flush_lsn::text AS confirmed, r.sent_lsn::text AS sent,
  CASE WHEN r.pid IS NOT NULL THEN concat(coalesce(nullif(r.application_name, ''), 'no name'), ' as ', r.usename, ' from ',
    coalesce(host(r.client_addr), 'this server itself')) END AS consumer
FROM pg_replication_slots s
LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid AND r.state IN ('catchup', 'streaming')
WHERE s.slot_type = 'logical' AND s.slot_name !~ '^{PUBLICATION}_' ORDER BY 1"""

Slots = Dict[str, Dict[str, Any]]


def drain(postgres: Postgres, seconds: float) -> None:
    """Wait until those who follow were sent all that there is now, `seconds` at most. Clients must have gone.

    What was seen is written down before anybody is ended for it.
    """
    server, slots = postgres.server, _look(postgres)
    if not slots:
        if server.read_json(FILE):
            server.write_json(FILE, {})
        return
    at = positions.next_record(postgres)
    before = server.read_json(FILE)
    if before and before["xid"] == at["xid"]:  # an earlier run ended them, and nothing was written since
        slots = _merged(before["slots"], slots)
        at = {"xid": before["xid"], "lsn": before["lsn"]}
    follow = [slot for slot, row in slots.items() if row["follows"]]
    if follow:
        progress(f"waiting for {len(follow)} logical consumers to be sent everything up to {at['lsn']}")
        slots = _wait(postgres, slots, at["lsn"], seconds)
    server.write_json(FILE, {**at, "slots": slots})


def _wait(postgres: Postgres, slots: Slots, lsn: str, seconds: float) -> Slots:
    """The slots as they are once everybody who follows was sent all up to `lsn`, or is out of time."""
    server = postgres.server
    deadline, sent_at = server.monotonic() + seconds, None
    while True:
        now = server.monotonic()
        slots = _merged(slots, _look(postgres))
        follow = [row for row in slots.values() if row["follows"]]
        if sent_at is None and all(reached(row["sent"], lsn) for row in follow):
            sent_at = now
        if all(reached(row["confirmed"], lsn) for row in follow) or now > deadline:
            return slots
        if sent_at is not None and now - sent_at > CONFIRMING_SECONDS:
            return slots
        server.sleep(POLL_SECONDS)


def ended(postgres: Postgres) -> List[str]:
    """Nobody follows any more: write down what each slot has confirmed, for the last time. What was done."""
    server = postgres.server
    record = server.read_json(FILE)
    follow = {slot: row for slot, row in record.get("slots", {}).items() if row["follows"]}
    if not follow:
        return []
    record["slots"] = _merged(record["slots"], _look(postgres))
    server.write_json(FILE, record)
    return [f"ended {row['consumer']}, which followed by the slot {slot}" for slot, row in follow.items()]


def told(server: Server, fence: Optional[Fence]) -> List[Dict[str, Any]]:
    """Each logical slot at the fence: its database, plugin, last `consumer` (None if nobody followed), the positions `sent` to it and
    `confirmed` by it, and whether everything that was written before the fence was sent (`reached`)."""
    record = server.read_json(FILE)
    if not record or fence is None:
        return []
    # Between the position that they were drained to and the fence a transaction came only if the next id has moved.
    whole = int(record["xid"]) == fence.xid
    return [
        {
            **{key: row[key] for key in ("slot", "database", "plugin", "consumer", "sent", "confirmed")},
            "reached": whole and (reached(row["sent"], record["lsn"]) or reached(row["confirmed"], record["lsn"])),
        }
        for row in record["slots"].values()
    ]


def _look(postgres: Postgres) -> Slots:
    rows = {row["slot"]: row for row in postgres.rows(SLOTS)}
    return {slot: {**row, "follows": row["consumer"] is not None} for slot, row in rows.items()}


def _merged(before: Slots, now: Slots) -> Slots:
    """What is known of each slot that is there: of one whose consumer has gone, who it was and what it was sent. A temporary slot goes with
    its consumer, and stays told of. Pure."""
    merged = {slot: {**row, "follows": False} for slot, row in before.items()}
    for slot, row in now.items():
        last = {} if row["follows"] else before.get(slot, {})
        merged[slot] = {**row, **{key: last[key] for key in ("consumer", "sent") if key in last}}
    return merged
