"""What a rehearsal has a database say and do, on the fake cluster. Its functions and its role are not the window's."""

from __future__ import annotations

import json
import re

from agent.client_rules import REHEARSAL
from tests.model.cluster import DatabaseError
from tests.model.psql_table import Asked, Row, Table

TABLE = Table()
FUNCTIONS = "functions of the rehearsal"
ROLE = f"role {REHEARSAL}"


@TABLE.statement("AS free_senders")
def _senders(asked: Asked, sql: str) -> str:
    return "7"


@TABLE.statement(f"ROLE {REHEARSAL} LOGIN REPLICATION ")
def _create_role(asked: Asked, sql: str) -> str:
    verifier = re.search(r"PASSWORD '([^']+)'", sql)
    assert verifier is not None
    asked.writes("created the rehearsal's role")
    asked.cluster.catalog[ROLE] = verifier[1]
    return ""


@TABLE.statement(f"DROP ROLE IF EXISTS {REHEARSAL};")
def _drop_role(asked: Asked, sql: str) -> str:
    assert FUNCTIONS not in asked.cluster.catalog, "PostgreSQL refuses: objects depend on it"
    asked.writes("dropped the rehearsal's role")
    asked.cluster.catalog.pop(ROLE, None)
    return ""


@TABLE.statement(f"CREATE SCHEMA IF NOT EXISTS {REHEARSAL};")
def _create_functions(asked: Asked, sql: str) -> str:
    mark = re.search(rf"COMMENT ON SCHEMA {REHEARSAL} IS '([^']+)'", sql)
    assert mark is not None
    asked.writes("created the rehearsal's functions")
    asked.cluster.catalog[FUNCTIONS] = mark[1]
    return ""


@TABLE.statement(f"DROP SCHEMA IF EXISTS {REHEARSAL} CASCADE;")
def _drop_functions(asked: Asked, sql: str) -> str:
    asked.writes("dropped the rehearsal's functions")
    asked.cluster.catalog.pop(FUNCTIONS, None)
    return ""


@TABLE.statement(f"FROM {REHEARSAL}.settings()")
def _configuration(asked: Asked, sql: str) -> str:
    _must_have_functions(asked)
    host, cluster = asked.host, asked.cluster
    return json.dumps({"settings": host.shown_settings(cluster), "rules": host.shown_rules(cluster)})


def _drop(asked: Asked, sql: str) -> str:
    with asked.asker.effect("dropped the rehearsal's slot"):
        asked.cluster.slots.discard(REHEARSAL)
    return ""


@TABLE.statement(f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{REHEARSAL}'")
def _count(asked: Asked, sql: str) -> str:
    return str(int(REHEARSAL in asked.cluster.slots))


@TABLE.query(f"WHERE rolname = '{REHEARSAL}'")
def _role(asked: Asked, sql: str) -> list[Row]:
    verifier = asked.cluster.catalog.get(ROLE)
    return [] if verifier is None else [{"rolpassword": verifier, "fits": True}]


@TABLE.query(f"WHERE nspname = '{REHEARSAL}'")
def _mark(asked: Asked, sql: str) -> list[Row]:
    mark = asked.cluster.catalog.get(FUNCTIONS)
    return [] if mark is None else [{"mark": mark}]


@TABLE.query(f"FROM pg_replication_slots WHERE slot_name = '{REHEARSAL}'")
def _slot(asked: Asked, sql: str) -> list[Row]:
    if REHEARSAL not in asked.cluster.slots:
        return []
    if "pg_drop_replication_slot" in sql:
        _drop(asked, sql)
    return [{"slot_name": REHEARSAL, "active_pid": None}]


@TABLE.query("AS relations,")
def _amounts(asked: Asked, sql: str) -> list[Row]:
    return [{"relations": 700, "objects": 20}]


@TABLE.query("sum(pg_database_size(oid))")
def _size(asked: Asked, sql: str) -> list[Row]:
    return [{"bytes": 10**9}]


def _must_have_functions(asked: Asked) -> None:
    if FUNCTIONS not in asked.cluster.catalog:
        raise DatabaseError(f'schema "{REHEARSAL}" does not exist')
