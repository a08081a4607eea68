"""A position in the WAL that everybody who follows will reach, and soon: what a fence, and whoever is waited for, is measured by.

The insert position alone is not one. After a switch of segments it stands behind the next page's header, 40 bytes beyond the last
record, and a second switch writes nothing: a standby or a walsender then stands short of it until something is written (over 60 s seen on
a quiet primary). So a record is written after the position, and the switch after the record has both flushed at once: nobody is sent what
is not flushed, and the walwriter may sleep for 5 s (xlog.c: GetXLogInsertRecPtr, RequestXLogSwitch; walwriter.c: HIBERNATE_FACTOR).
"""

from __future__ import annotations

import json
from typing import Any, Dict

from agent.postgres import Postgres, as_json

# A record that is not part of a transaction takes no transaction id, and is written in a read-only transaction and under every wal_level
# (PostgreSQL documentation, "Replication Management Functions"; message.c, LogLogicalMessage).
RECORD = "SELECT FROM pg_logical_emit_message(false, 'pgleap', 'position');\nSELECT FROM pg_switch_wal();"


def next_record(postgres: Postgres) -> Dict[str, Any]:
    """Where the WAL of a running primary goes on: `lsn`, at which a record begins that is flushed by the time this returns, and `xid`, the
    next transaction id. One psql for all: writes are refused meanwhile."""
    here = as_json(
        "SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xid, pg_current_wal_insert_lsn()::text AS lsn"
    )
    row: Dict[str, Any] = json.loads(postgres.execute(f"{here}\n{RECORD}"))[0]
    return row
