"""Which sessions are clients', and which of them wait for nothing and may be ended: conditions in SQL on rows of pg_stat_activity."""

from __future__ import annotations

from agent.client_rules import LOCAL_ROLE, READER

# pgleap's own roles are let in by its own rules only, whatever a client calls itself. A walsender with a database
# (`replication=database`) is a client session too: it speaks SQL and can write, also one that streams, which may stop at any moment. A
# physical one has no database, and speaks no SQL.
_NOT_OURS = f"coalesce(usename NOT IN ('{READER}', '{LOCAL_ROLE}'), true)"
CLIENTS = f"{_NOT_OURS} AND (backend_type = 'client backend' OR backend_type = 'walsender' AND datid IS NOT NULL)"
# A background worker in a database runs SQL too, whoever began it: an extension, or a client that has gone since (pg_background). These are
# none: PostgreSQL's own, 12 to 18 (pgstatfuncs.c, GetBackendTypeDesc; bgworker names in contrib). A subscription's worker writes: it is
# looked for by its subscription.
_NO_WORKERS = (
    "client backend", "walsender", "autovacuum worker", "parallel worker", "logical replication worker",
    "logical replication apply worker", "logical replication parallel worker", "logical replication tablesync worker",
    "slotsync worker", "autoprewarm worker",
)  # fmt: skip
WORKERS = f"{_NOT_OURS} AND datid IS NOT NULL AND backend_type NOT IN ({', '.join(map(repr, _NO_WORKERS))})"
# Everybody who could write in a sealed database.
INSIDE = f"({CLIENTS} OR {WORKERS})"
# Who streams by a logical slot: it is given time to get everything, and is ended last (agent/consumers.py).
FOLLOWING = """pid IN (SELECT r.pid FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
 WHERE s.slot_type = 'logical' AND r.state IN ('catchup', 'streaming'))"""

# A session that is idle for this long after work waits for nothing: its pool tests it before it is used again.
IDLE_MILLISECONDS = 20
# If its last statement was no work but a pool's test, or what a new connection begins with, its query may be on the way, and a
# busy client may let this much pass (250 ms were too few for one read in some twenty thousand, on two cores with a load of eight).
BEGINNING_MILLISECONDS = 1000
# Work touches a table, ends a transaction, or clears a session up before it goes back to its pool.
WORK = r"\m(from|into|update|delete|call|copy|commit|rollback|end|abort|discard|deallocate|reset)\M"
IDLE = f"""(state = 'idle' AND clock_timestamp() - state_change >= CASE WHEN query ~* '{WORK}'
 THEN interval '{IDLE_MILLISECONDS} milliseconds' ELSE interval '{BEGINNING_MILLISECONDS} milliseconds' END)"""
# Ends the `session` (a row of pg_stat_activity) if it is idle still, by a look at the very moment. With one look at all of them a
# pool's test can be answered between the look and the end, and its query fails (23 of 5,493 sessions ended so; of 5,164 ended this way 0).
ENDED_IF_IDLE = f"""CASE WHEN {IDLE} THEN coalesce((SELECT pg_terminate_backend(now.pid)
 FROM pg_stat_get_activity(concat(session.pid, pg_stat_clear_snapshot())::int) AS now WHERE {IDLE}), false) ELSE false END"""
