"""What the agent asks a database, answered from the fake cluster: nothing changes by it."""

from __future__ import annotations

import json
import re

from agent.client_rules import LOCAL_ROLE, READER
from agent.following import STOPS
from agent.functions import WITHOUT
from agent.journal import JOURNAL_FILE
from tests.model.cluster import DatabaseError
from tests.model.psql_table import Asked, Row, Table, lsn_of, lsn_text
from tests.model.replication import standbys

TABLE = Table()

# The one database there is, as far as the agent sees.
DATABASE = "postgres"
# Where the catalog has the replica identity of its one table without a key.
IDENTITY = "identity public.log"

# Where the catalog has how a trigger of a table is enabled.
TRIGGER = "trigger it"

# What a cluster says of itself.


@TABLE.query("current_setting('hba_file') AS hba")
def _places(asked: Asked, sql: str) -> list[Row]:
    config = asked.cluster.config
    return [{"hba": f"{config}/pg_hba.conf", "ident": f"{config}/pg_ident.conf"}]


@TABLE.query("FROM pg_hba_file_rules")
def _wrong_rules(asked: Asked, sql: str) -> list[Row]:
    return []


@TABLE.query("FROM pg_prepared_xacts")
def _prepared(asked: Asked, sql: str) -> list[Row]:
    return [{"gid": gid, "database": "app"} for gid in asked.cluster.prepared]


@TABLE.query("FROM pg_subscription s JOIN pg_database d")
def _followed(asked: Asked, sql: str) -> list[Row]:
    mine = asked.cluster.subscription
    if mine is None:
        return []
    return [{"database": DATABASE, "enabled": mine.enabled, "works": mine.enabled, "oid": 16400, "applied": None}]


@TABLE.query("FROM pg_subscription")
def _subscriptions(asked: Asked, sql: str) -> list[Row]:
    mine = asked.cluster.subscription
    return [{"subname": "pgleap_back"}] if mine is not None and mine.enabled else []


@TABLE.query("pg_current_logfile()")
def _log_file(asked: Asked, sql: str) -> list[Row]:
    return [{"file": "", "data": asked.cluster.data}]


@TABLE.query("backend_type AS worker, datname AS database")
def _workers(asked: Asked, sql: str) -> list[Row]:
    return []


@TABLE.query("s.confirmed_flush_lsn::text AS confirmed")
def _consumers(asked: Asked, sql: str) -> list[Row]:
    follow = {session.follows: session for session in asked.cluster.sessions if not session.entering}
    rows: list[Row] = []
    for slot, at in sorted(asked.cluster.consumed.items()):
        who = follow.get(slot)
        sent = {"sent": lsn_text(at), "consumer": who.user} if who is not None else {"sent": None, "consumer": None}
        rows.append({"slot": slot, "database": "app", "plugin": "pgoutput", "confirmed": lsn_text(at), **sent})
    return rows


@TABLE.query("FROM pg_database WHERE datallowconn")
def _databases(asked: Asked, sql: str) -> list[Row]:
    return [{"datname": DATABASE}]


@TABLE.query("s.seqincrement AS increment")
@TABLE.query("tn.nspname AS tables_schema")
def _sequences_here(asked: Asked, sql: str) -> list[Row]:
    return []


@TABLE.query("AS max_logical_replication_workers")
def _limits(asked: Asked, sql: str) -> list[Row]:
    return [{"max_logical_replication_workers": 4, "max_worker_processes": 8, "origins": 10}]


@TABLE.query("WITH RECURSIVE here AS")
def _tables(asked: Asked, sql: str) -> list[Row]:
    table = {
        "schema": "public", "by_identity": False, "key_generated": False, "generated": False, "owned": False, "unlogged": False,
        "blind": None, "loose": None,
    }  # fmt: skip
    log = asked.cluster.catalog.get(IDENTITY, "d")
    return [
        {"name": "public.t", "table": "t", "identity": "d", "keyed": True, **table},
        {"name": "public.log", "table": "log", "identity": log, "keyed": False, **table},
    ]


@TABLE.query("c.relkind = 'S' AND c.relpersistence = 'u'")
def _unlogged_sequences(asked: Asked, sql: str) -> list[Row]:
    return []


@TABLE.query("SELECT EXISTS (SELECT FROM pg_largeobject_metadata)")
def _large_objects(asked: Asked, sql: str) -> list[Row]:
    return [{"any": False}]


@TABLE.query("t.tgenabled IN ('A', 'R')")
def _replica_triggers(asked: Asked, sql: str) -> list[Row]:
    enabled = asked.cluster.catalog.get(TRIGGER, "O")
    return [{"schema": "public", "table": "t", "trigger": "it", "enabled": enabled}] if enabled in "AR" else []


@TABLE.query("c.relisshared AS shared")
def _catalogs(asked: Asked, sql: str) -> list[Row]:
    return [
        {"catalog": "pg_class", "shared": False, "columns": ["oid", "relname", "relnamespace"]},
        {"catalog": "pg_authid", "shared": True, "columns": ["oid", "rolname"]},
    ]


@TABLE.query("AS whole_digest")
def _whole(asked: Asked, sql: str) -> list[Row]:
    made = sorted(name for name in asked.cluster.catalog if name.startswith("table "))
    return [{"whole_digest": ",".join(made) if "FROM pg_class" in sql else "", "relations": len(made)}]


@TABLE.query("WITH found(class, id, hash) AS")
def _definitions(asked: Asked, sql: str) -> list[Row]:
    """Tables that clients made; `table made` in the catalog."""
    made = [name for name in asked.cluster.catalog if name.startswith("table ")] if "FROM pg_class" in sql else []
    return [{"what": name, "digest": "1", "file": 1, "schema": "public", "table": name[6:]} for name in made]


@TABLE.query("SELECT replay_lsn::text AS at")
def _replica_replayed(asked: Asked, sql: str) -> list[Row]:
    wanted = re.search(r">= '([^']+)'::pg_lsn FROM|>= '([^']+)'::pg_lsn AS there", sql)
    address = re.search(r"client_addr = '([^']+)'", sql)
    assert wanted is not None, sql
    assert address is not None, sql
    machine = asked.host.world.at(address[1])
    replica = machine.listening() if machine is not None else None
    if replica is None or not replica.receives:
        return []
    return [{"at": lsn_text(replica.lsn), "there": replica.lsn >= lsn_of(wanted[1] or wanted[2])}]


@TABLE.query("datfrozenxid")
def _near_wraparound(asked: Asked, sql: str) -> list[Row]:
    return []


@TABLE.query("FROM pg_settings WHERE sourcefile LIKE '%/postgresql.auto.conf'")
def _in_force(asked: Asked, sql: str) -> list[Row]:
    names = sql.partition("name IN (")[2]
    held = asked.cluster.by_alter_system
    return [{"name": name, "setting": value} for name, value in held.items() if f"'{name}'" in names]


@TABLE.query("sourcefile LIKE '%/postgresql.auto.conf'")
def _by_alter_system(asked: Asked, sql: str) -> list[Row]:
    return [row for row in asked.host.settings(asked.cluster) if row["sourcefile"].endswith("/postgresql.auto.conf")]


@TABLE.query("pg_wal_lsn_diff(")
def _standbys(asked: Asked, sql: str) -> list[Row]:
    wanted = re.search(r">= '([^']+)'::pg_lsn", sql)
    assert wanted is not None
    at = lsn_of(wanted[1])
    return [
        {"address": machine.address, "state": "streaming", "there": cluster.lsn >= at, "lag": max(at - cluster.lsn, 0)}
        for machine, cluster, _ in standbys(asked.host.world, asked.host)
    ]


@TABLE.statement("SELECT json_build_object('paused',")
def _what_stops(asked: Asked, sql: str) -> str:
    stops = {name: value for name, value in asked.cluster.settings.items() if name in STOPS}
    return json.dumps({"paused": False, "stops": stops, "has": {}})


@TABLE.query("AS ours")
def _no_less(asked: Asked, sql: str) -> list[Row]:
    return [{"ours": {}}]


@TABLE.query("FROM pg_stat_wal_receiver")
def _receiver(asked: Asked, sql: str) -> list[Row]:
    return [{"status": "streaming"}] if asked.cluster.receives else []


@TABLE.query("pg_last_wal_replay_lsn()::text AS at")
def _replayed(asked: Asked, sql: str) -> list[Row]:
    wanted = re.search(r">= '([^']+)'::pg_lsn", sql)
    assert wanted is not None
    return [{"at": lsn_text(asked.cluster.lsn), "there": asked.cluster.lsn >= lsn_of(wanted[1])}]


@TABLE.query("datname = 'template0'")
def _template0(asked: Asked, sql: str) -> list[Row]:
    return [{"encoding": 6, "datcollate": "C.UTF-8", "datctype": "C.UTF-8", "datlocprovider": "c"}]


@TABLE.query("name = 'wal_segment_size'")
def _segment_size(asked: Asked, sql: str) -> list[Row]:
    return [{"setting": str(16 * 1024 * 1024)}]


@TABLE.statement("SELECT pg_conf_load_time();")
def _load_time(asked: Asked, sql: str) -> str:
    return str(asked.cluster.loaded_at)


@TABLE.statement("SELECT pg_conf_load_time() < max(")
def _unread(asked: Asked, sql: str) -> str:
    files = {"pg_hba.conf": asked.cluster.hba, "pg_ident.conf": asked.cluster.ident}
    unread = any(asked.host.text(f"{asked.cluster.config}/{name}") != read for name, read in files.items())
    return "t" if unread else "f"


@TABLE.statement("current_setting('allow_alter_system', true)")
def _allow_alter_system(asked: Asked, sql: str) -> str:
    return asked.cluster.settings.get("allow_alter_system", "on")


@TABLE.statement("SELECT current_setting('")
def _setting(asked: Asked, sql: str) -> str:
    name = re.fullmatch(r"SELECT current_setting\('(\w+)'\);", sql)
    assert name is not None, sql
    return asked.cluster.settings[name[1]]


@TABLE.statement("pg_encoding_to_char(")
def _encoding(asked: Asked, sql: str) -> str:
    return "UTF8"


@TABLE.statement("rolsuper AND rolcanlogin")
def _local_role(asked: Asked, sql: str) -> str:
    return f"{_flag(asked.cluster.recovery)}|{_flag(f'role {LOCAL_ROLE}' in asked.cluster.catalog)}"


@TABLE.statement("SELECT pg_is_in_recovery();")
def _recovery(asked: Asked, sql: str) -> str:
    return _flag(asked.cluster.recovery)


@TABLE.statement("SELECT json_build_object('standby', pg_is_in_recovery(), 'xid'")
def _old_replica(asked: Asked, sql: str) -> str:
    held = asked.cluster.catalog.get(f"comment on {READER}")
    return json.dumps({"standby": asked.cluster.recovery, "xid": str(asked.cluster.xmax), "held": held})


@TABLE.statement("FROM pg_locks WHERE locktype = 'transactionid' AND granted)")
def _holding(asked: Asked, sql: str) -> str:
    holders = str(asked.cluster.holders)
    return f"{holders}\n{asked.cluster.xmax}" if "pg_snapshot_xmax" in sql else holders


@TABLE.statement("SELECT pg_snapshot_xmax(pg_current_snapshot());")
def _xmax(asked: Asked, sql: str) -> str:
    return str(asked.cluster.xmax)


@TABLE.statement("SELECT (SELECT count(*) FROM pg_prepared_xacts);")
def _count_prepared(asked: Asked, sql: str) -> str:
    return str(len(asked.cluster.prepared))


@TABLE.statement("SELECT (SELECT count(*) FROM pg_stat_activity WHERE ")
def _count_clients(asked: Asked, sql: str) -> str:
    blind = "FROM pg_stat_replication" in sql
    return str(sum(not session.entering and not (blind and session.follows) for session in asked.cluster.clients))


@TABLE.statement("SELECT 1;")
def _alive(asked: Asked, sql: str) -> str:
    return "1"


# What one server shows the other.


@TABLE.statement("SELECT pgleap.journal();")
def _journal(asked: Asked, sql: str) -> str:
    _must_have_functions(asked)
    journal = asked.host.text(JOURNAL_FILE)
    if not journal:
        raise DatabaseError(f'could not open file "{JOURNAL_FILE}" for reading: No such file or directory')
    return journal


@TABLE.statement("SELECT json_build_object('settings',")
def _configuration(asked: Asked, sql: str) -> str:
    _must_have_functions(asked)
    host, cluster = asked.host, asked.cluster
    return json.dumps({"settings": host.shown_settings(cluster), "rules": host.shown_rules(cluster)})


@TABLE.statement("FROM pgleap.settings()")
def _settings(asked: Asked, sql: str) -> str:
    _must_have_functions(asked)
    return json.dumps(asked.host.shown_settings(asked.cluster))


@TABLE.statement("FROM pgleap.rules()")
def _rules(asked: Asked, sql: str) -> str:
    _must_have_functions(asked)
    return json.dumps(asked.host.shown_rules(asked.cluster))


@TABLE.statement("json_build_object('slot', slot_name")
def _logical_slots(asked: Asked, sql: str) -> str:
    lsn = asked.cluster.lsn
    slots = asked.cluster.logical.items()
    return json.dumps(
        [{"slot": slot, "confirmed": lsn_text(at), "behindBytes": lsn - at, "status": "reserved"} for slot, at in slots]
    )


@TABLE.statement("SELECT json_build_object('lsn', pg_current_wal_flush_lsn()::text")
def _position(asked: Asked, sql: str) -> str:
    return json.dumps({"lsn": lsn_text(asked.cluster.lsn), "xid": asked.cluster.xmax})


@TABLE.statement("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '")
def _count_slots(asked: Asked, sql: str) -> str:
    return str(int(sql.split("'")[1] in asked.cluster.slots))


@TABLE.statement("SELECT count(*) FROM pg_subscription WHERE subname =")
def _count_subscriptions(asked: Asked, sql: str) -> str:
    return "0" if asked.cluster.subscription is None else "1"


@TABLE.statement("FROM pgleap.contents(")
def _contents(asked: Asked, sql: str) -> str:
    mark = re.search(r"IS NOT DISTINCT FROM '([^']+)' AS whole", sql)
    assert mark is not None, sql
    if asked.cluster.catalog.get("functions") != mark[1]:
        return WITHOUT
    return f'{{"asked": 1}}\n{json.dumps([["public", "t", len(asked.cluster.content), ""]])}\n{{"asked": 0}}'


@TABLE.statement("FROM pgleap.sequences(")
def _sequences(asked: Asked, sql: str) -> str:
    _must_have_functions(asked)
    return '{"asked": 0}'


@TABLE.statement("SELECT pg_current_wal_lsn();")
def _written_lsn(asked: Asked, sql: str) -> str:
    return lsn_text(asked.cluster.lsn)


@TABLE.statement("pg_tablespace_location")
def _tablespaces(asked: Asked, sql: str) -> str:
    return "[]"


@TABLE.query("FROM pg_authid")
def _reader(asked: Asked, sql: str) -> list[Row]:
    verifier = asked.cluster.catalog.get(f"role {READER}")
    return [] if verifier is None else [{"rolpassword": verifier, "fits": True}]


@TABLE.query("obj_description(")
def _mark(asked: Asked, sql: str) -> list[Row]:
    mark = asked.cluster.catalog.get("functions")
    return [] if mark is None else [{"mark": mark}]


def _must_have_functions(asked: Asked) -> None:
    if "functions" not in asked.cluster.catalog:
        raise DatabaseError('schema "pgleap" does not exist')


def _flag(value: bool) -> str:
    return "t" if value else "f"
