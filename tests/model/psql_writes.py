"""What the agent has a database do, done to the fake cluster: each is an effect, before and after which the agent can die."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from agent.client_rules import LOCAL_ROLE, READER
from agent.own_names import PUBLICATION
from tests.model.cluster import DatabaseError, Session, Subscription
from tests.model.psql_reads import IDENTITY, TRIGGER
from tests.model.psql_table import Asked, Row, Table, lsn_text

TABLE = Table()


@TABLE.query("'the socket'")
def _end_clients(asked: Asked, sql: str) -> list[Row]:
    late = "CASE WHEN client THEN pg_terminate_backend(pid)" in sql
    stay = "FROM pg_stat_replication" in sql
    rows = []
    for session in [found for found in asked.cluster.sessions if not found.entering]:
        client = session in asked.cluster.clients and not (stay and session.follows)
        ended = client and (late or _is_idle(asked, session))
        if ended:
            _terminate(asked, session)
        row = {"pid": session.pid, "client": client, "who": session.user, "state": session.state, "ended": ended}
        rows.append(row)
    return rows


@TABLE.query("client_addr IN (")
def _end_idle(asked: Asked, sql: str) -> list[Row]:
    addresses = set(re.findall(r"'([^']+)'::inet", sql))
    before = re.search(r"backend_start <= to_timestamp\(([^)]+)\)", sql)
    assert before is not None, sql
    rows = []
    for session in asked.cluster.clients:
        if session.address in addresses and not session.entering and session.began <= float(before[1]):
            ended = _is_idle(asked, session)
            if ended:
                _terminate(asked, session)
            rows.append({"pid": session.pid, "client": session.address, "ended": ended})
    return rows


@TABLE.query("backend_type = 'autovacuum worker'")
def _end_autovacuum(asked: Asked, sql: str) -> list[Row]:
    workers = [session for session in asked.cluster.sessions if session.kind == "autovacuum worker"]
    for worker in workers:
        _terminate(asked, worker)
    return [{"pg_terminate_backend": True} for _ in workers]


@TABLE.statement("ALTER SYSTEM ")
def _alter_system(asked: Asked, sql: str) -> str:
    order = re.fullmatch(r"ALTER SYSTEM (?:SET (\w+) = ('(?:[^']|'')*'|\w+)|RESET (\w+));", sql.strip())
    assert order is not None, sql
    file = f"{asked.cluster.data}/postgresql.auto.conf"
    lines = [line for line in asked.host.text(file).splitlines() if not line.startswith(f"{order[1] or order[3]} =")]
    if order[1]:
        value = order[2] if order[2].startswith("'") else f"'{order[2]}'"
        lines.append(f"{order[1]} = {value}")
    if asked.cluster.settings.get("allow_alter_system") == "off":
        raise DatabaseError("ALTER SYSTEM is not allowed in this environment")
    with asked.asker.effect(sql):
        asked.host.put(file, "".join(f"{line}\n" for line in lines).encode())
    return ""


@TABLE.statement("pg_logical_emit_message(true, 'pgleap', 'DB_A opens')")
def _used_up(asked: Asked, sql: str) -> str:
    """It takes an id, also in a read-only transaction: tests/agent/test_used_up.py."""
    replace(asked, writing=True).writes("used the release up")
    return ""


@TABLE.statement("pg_logical_emit_message(true, ")
def _commit(asked: Asked, sql: str) -> str:
    asked.writes("committed a transaction without content")
    return ""


@TABLE.statement("pg_logical_emit_message(false, ")
def _position(asked: Asked, sql: str) -> str:
    """Where the WAL goes on, read before the record that is written there; the switch comes last."""
    assert (
        sql.index("pg_current_wal_insert_lsn()") < sql.index("pg_logical_emit_message(") < sql.index("pg_switch_wal()")
    )
    at = {"xid": str(asked.cluster.xmax), "lsn": lsn_text(asked.cluster.insert_lsn)}
    asked.cluster.record(64)
    asked.cluster.switch()
    return json.dumps([at])


@TABLE.statement(f"COMMENT ON ROLE {READER} IS '")
def _comment(asked: Asked, sql: str) -> str:
    asked.writes("commented on the reader")
    asked.cluster.catalog[f"comment on {READER}"] = sql.split("'")[1]
    return ""


@TABLE.statement("SELECT pg_promote(")
def _promote(asked: Asked, sql: str) -> str:
    assert asked.cluster.recovery
    with asked.asker.effect("promoted"):
        asked.host.path(f"{asked.cluster.data}/standby.signal").unlink()
        asked.cluster.recovery = asked.cluster.receives = False
        asked.cluster.system += ", promoted"
    return "t"


@TABLE.statement(f"CREATE ROLE {LOCAL_ROLE} ")
def _create_local_role(asked: Asked, sql: str) -> str:
    asked.writes("created the local role")
    asked.cluster.catalog[f"role {LOCAL_ROLE}"] = ""
    return ""


@TABLE.statement(f"ROLE {READER} LOGIN REPLICATION ")
def _create_reader(asked: Asked, sql: str) -> str:
    verifier = re.search(r"PASSWORD '([^']+)'", sql)
    assert verifier is not None
    asked.writes("created the reader")
    asked.cluster.catalog[f"role {READER}"] = verifier[1]
    return ""


@TABLE.statement(f"ALTER ROLE {READER} SET ")
def _set_for_reader(asked: Asked, sql: str) -> str:
    asked.writes("set what the reader's sessions are set to")
    return ""


@TABLE.statement("CREATE SCHEMA IF NOT EXISTS pgleap;")
def _create_functions(asked: Asked, sql: str) -> str:
    mark = re.search(r"COMMENT ON SCHEMA pgleap IS '([^']+)'", sql)
    assert mark is not None
    asked.writes("created the functions")
    asked.cluster.catalog["functions"] = mark[1]
    return ""


@TABLE.statement("SELECT pg_create_physical_replication_slot('")
def _create_slot(asked: Asked, sql: str) -> str:
    slot = sql.split("'")[1]
    with asked.asker.effect(f"made the slot {slot}"):
        asked.cluster.slots.add(slot)
    return ""


@TABLE.statement("CREATE PUBLICATION pgleap_back;")
def _publish(asked: Asked, sql: str) -> str:
    slot = re.search(r"pg_create_logical_replication_slot\('(\w+)'", sql)
    assert slot is not None, sql
    assert asked.cluster.settings["wal_level"] == "logical"
    asked.writes("made the publication")
    asked.cluster.catalog[PUBLICATION] = ""
    if "ALTER TABLE public.log REPLICA IDENTITY FULL;" in sql:
        asked.cluster.catalog[IDENTITY] = "f"
    with asked.asker.effect(f"made the slot {slot[1]}"):
        asked.cluster.logical.setdefault(slot[1], asked.cluster.lsn)
    return ""


@TABLE.statement("CREATE SUBSCRIPTION pgleap_back ")
def _subscribe(asked: Asked, sql: str) -> str:
    address, slot = re.search(r"host=(\S+)", sql), re.search(r"slot_name = '(\w+)'", sql)
    assert address is not None, sql
    assert slot is not None, sql
    asked.writes("subscribed")
    asked.cluster.subscription = Subscription(address[1], slot[1])
    return ""


@TABLE.statement("DROP SUBSCRIPTION pgleap_back;")
def _unsubscribe(asked: Asked, sql: str) -> str:
    asked.writes("dropped the subscription")
    asked.cluster.subscription = None
    return ""


@TABLE.statement("ALTER SUBSCRIPTION pgleap_back ")
def _alter_subscription(asked: Asked, sql: str) -> str:
    asked.writes("altered the subscription")
    assert asked.cluster.subscription is not None
    asked.cluster.subscription = replace(asked.cluster.subscription, enabled="ENABLE" in sql)
    return "0"


@TABLE.statement('TRIGGER "it"')
def _alter_trigger(asked: Asked, sql: str) -> str:
    asked.writes("altered a trigger")
    how = re.search(r'"t" ([A-Z ]+) TRIGGER "it"', sql)
    assert how is not None, sql
    asked.cluster.catalog[TRIGGER] = {"ENABLE": "O", "DISABLE": "D", "ENABLE ALWAYS": "A", "ENABLE REPLICA": "R"}[
        how[1]
    ]
    return ""


@TABLE.statement("REFRESH MATERIALIZED VIEW")
def _refresh(asked: Asked, sql: str) -> str:
    asked.writes("refreshed views")
    return ""


def _is_idle(asked: Asked, session: Session) -> bool:
    return session.state == "idle" and asked.host.world.clock - session.since >= 0.02


def _terminate(asked: Asked, session: Session) -> None:
    with asked.asker.effect(f"ended a session of {session.user or 'autovacuum'}"):
        session.ending = True
