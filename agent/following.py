"""Whether standbys replay what the primary writes right now, and what stops one that does not.

Bytes behind prove nothing: on a quiet primary a standby that never replays again is a few bytes behind. So something is written, and the
standbys have to come past it.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional, Sequence

from agent import positions
from agent.other_side import OtherSide
from agent.postgres import Postgres, wait_until
from agent.report import Refusal

# A commit: recovery_min_apply_delay holds up nothing else (PostgreSQL documentation). Nobody is waited for.
COMMIT = "SET synchronous_commit = local; SELECT FROM pg_logical_emit_message(true, 'pgleap', 'ready');"
# What a standby must have no less of than its primary: it stops replaying else (documentation, "Hot Standby", "Administrator's Overview").
NO_LESS = (
    "max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction",
)  # fmt: skip
STOPS = (
    "recovery_min_apply_delay", "recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time",
    "recovery_target_xid",
)  # fmt: skip


def _settings(names: Sequence[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names)
    return f"(SELECT coalesce(json_object_agg(name, setting), '{{}}') FROM pg_settings WHERE name IN ({listed}))"


# Asked of the standby.
WHY = (
    "SELECT json_build_object('paused', CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,"
    f" 'stops', {_settings(STOPS)}, 'has', {_settings(NO_LESS)});"
)


def refuse_late(postgres: Postgres, standbys: Mapping[str, str], seconds: float, prepare: str) -> Dict[str, int]:
    """Have each standby (name -> address) replay a commit of this moment within `seconds`; how many bytes each was behind it at last.
    `prepare` is the command that waits for a DB_A that is being built, and gives it the old primary's configuration.

    Raises Refusal, with what stops those that do not.
    """
    postgres.execute(COMMIT, writing=True)
    at = positions.next_record(postgres)["lsn"]
    lag: Dict[str, int] = {}
    late: Dict[str, str] = {}

    def look() -> Optional[str]:
        rows = postgres.rows(
            f"SELECT host(client_addr) AS address, state, coalesce(replay_lsn >= '{at}'::pg_lsn, false) AS there,"
            f" greatest(pg_wal_lsn_diff('{at}'::pg_lsn, coalesce(replay_lsn, '0/0')), 0)::bigint AS lag FROM pg_stat_replication"
        )
        late.clear()
        for name, address in standbys.items():
            found = [row for row in rows if row["address"] == address and row["state"] == "streaming"]
            if not found:
                late[name] = f"{name} ({address}) does not stream"
            elif not any(row["there"] for row in found):
                late[name] = f"{name} is {min(int(row['lag']) for row in found)} bytes behind"
            else:
                lag[name] = min(int(row["lag"]) for row in found)
        return "; ".join(late.values()) or None

    do = f"wait until they do; for a rebuild of DB_A this waits: {prepare}"
    try:
        wait_until(
            postgres.server,
            seconds,
            f"{' and '.join(standbys)} to replay what {postgres.address} wrote a moment ago",
            look,
            do,
        )
    except Refusal as refused:
        stopped = [why for name in late for why in _what_stops(name, standbys[name], postgres)]
        if not stopped:
            raise
        do = f"mend that on the old replica, and start it again; for DB_A this does both: {prepare}"
        raise Refusal(refused.expected, "; ".join([*late.values(), *stopped]), do) from refused
    return lag


def _what_stops(name: str, address: str, postgres: Postgres) -> List[str]:
    """What the standby says of itself, if it can be asked."""
    cluster = postgres.cluster
    standby = OtherSide(postgres.server, name, address, cluster.port, cluster.program("psql"))
    try:
        told = json.loads(standby.ask(WHY))
    except Refusal:
        return []
    ours = postgres.row(f"SELECT {_settings(NO_LESS)} AS ours")["ours"]
    return [f"{name} {what}" for what in reasons(told, ours)]


def reasons(told: Mapping[str, Any], ours: Mapping[str, str]) -> List[str]:
    """What stops a standby that said so much of itself, beside a primary with these settings. Pure."""
    found = [f"has {setting} = {value}" for setting, value in sorted(told["stops"].items()) if value not in ("", "0")]
    less = [setting for setting in NO_LESS if int(told["has"].get(setting, 0)) < int(ours.get(setting, 0))]
    found += [f"has {setting} = {told['has'][setting]}, less than the primary's {ours[setting]}" for setting in less]
    if told["paused"] and not less:
        found.append("has its replay paused: SELECT pg_wal_replay_resume()")
    return found
