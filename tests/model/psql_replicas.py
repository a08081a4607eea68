"""What the agent asks of, and has done to, a database for the new replicas and at the end: theirs decides before the other tables."""

from __future__ import annotations

import re

from agent.own_names import PUBLICATION
from tests.model.psql_reads import IDENTITY
from tests.model.psql_table import Asked, Row, Table, lsn_of
from tests.model.replication import standbys

TABLE = Table()
# wal_retrieve_retry_interval.
RETRY_SECONDS = 5


@TABLE.query("application_name AS name FROM pg_stat_replication")
def _named_standbys(asked: Asked, sql: str) -> list[Row]:
    return [{"name": conninfo.get("application_name", "")} for _, _, conninfo in standbys(asked.host.world, asked.host)]


@TABLE.query("SELECT slot_name FROM pg_replication_slots")
def _slots(asked: Asked, sql: str) -> list[Row]:
    return [{"slot_name": slot} for slot in sorted({*asked.cluster.slots, *asked.cluster.logical})]


@TABLE.query("FROM pg_publication WHERE pubname")
def _published(asked: Asked, sql: str) -> list[Row]:
    return [{}] if PUBLICATION in asked.cluster.catalog else []


@TABLE.query("coalesce(datname, '?') AS database")
def _who(asked: Asked, sql: str) -> list[Row]:
    """Who is connected, each for itself."""
    return [
        {"role": one.user, "database": "app", "client": one.address, "name": "no name", "sessions": 1}
        for one in asked.cluster.clients
        if not one.entering
    ]


@TABLE.query("LIKE 'md5%' AS md5")
def _streams_as(asked: Asked, sql: str) -> list[Row]:
    user = sql.rpartition("rolname = ")[2].strip("'")
    verifier = asked.cluster.catalog.get(f"role {user}")
    return [] if verifier is None else [{"fits": True, "md5": False, "without": verifier == ""}]


@TABLE.statement("pg_last_wal_replay_lsn()), 0)::bigint")
def _behind(asked: Asked, sql: str) -> str:
    return str(max(lsn_of(sql.split("'")[1]) - asked.cluster.lsn, 0))


@TABLE.statement("SELECT system_identifier FROM pg_control_system();")
def _system(asked: Asked, sql: str) -> str:
    return asked.cluster.system


@TABLE.statement("ALTER TABLE public.log REPLICA IDENTITY DEFAULT")
def _identity_back(asked: Asked, sql: str) -> str:
    if asked.cluster.catalog.get(IDENTITY) == "f":
        asked.writes("set the identity back")
        asked.cluster.catalog[IDENTITY] = "d"
    return ""


@TABLE.statement("DROP PUBLICATION pgleap_back;")
def _unpublish(asked: Asked, sql: str) -> str:
    asked.writes("dropped the publication")
    del asked.cluster.catalog[PUBLICATION]
    return ""


@TABLE.query("c.relkind = 'm' AND c.relispopulated")
def _views(asked: Asked, sql: str) -> list[Row]:
    return [{"name": "public.totals", "beside": True}, {"name": "public.plain", "beside": False}]


@TABLE.query("CASE WHEN active_pid IS NULL THEN pg_drop_replication_slot(slot_name) END")
def _drop_slots(asked: Asked, sql: str) -> list[Row]:
    """Free ones go. Of the others the walsender ends, and whoever it served comes back seconds later, if there is a slot still; that of
    a subscription that is gone had held its slot for a moment longer."""
    cluster = asked.cluster
    which = re.search(r"WHERE slot_name (=|~) '\^?(\w+)'", sql)
    assert which is not None, sql
    rows = []
    for slot in sorted({*cluster.slots, *cluster.logical}):
        if slot != which[2] if which[1] == "=" else not slot.startswith(which[2]):
            continue
        streaming = [
            standby
            for _, standby, _ in standbys(asked.host.world, asked.host)
            if slot in cluster.slots and standby.settings.get("primary_slot_name") == slot
        ]
        active = bool(streaming) or slot in cluster.held
        with asked.asker.effect(f"{'ended the walsender of' if active else 'dropped'} the slot {slot}"):
            cluster.held.discard(slot)
            for standby in streaming:
                standby.receives, standby.comes_back_at = False, asked.host.world.clock + RETRY_SECONDS
            if not active:
                cluster.slots.discard(slot)
                cluster.logical.pop(slot, None)
        rows.append({"slot_name": slot, "active_pid": 4242 if active else None})
    return rows
