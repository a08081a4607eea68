"""The settings of a seal: what was there before is recorded, then they are set, and later set back. Whether they are in force is read from
PostgreSQL, never from the record alone: the record is written first, so a run that died may have left it without the act."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from agent import configuration
from agent.cluster import Cluster
from agent.postgres import Postgres
from agent.report import Refusal
from agent.server import STATE_FOLDER, Server

# What ALTER SYSTEM held of them before, by name; None where it held nothing. Empty once they are set back.
SEAL_FILE = f"{STATE_FOLDER}/seal.json"
SEAL_SETTINGS = {"default_transaction_read_only": "on", "autovacuum": "off"}
Record = Dict[str, Optional[str]]


def set_for_seal(postgres: Postgres) -> List[str]:
    """ALTER SYSTEM the seal's settings, which count from a reload on. What was done. Raises Refusal if PostgreSQL refuses them."""
    configured = postgres.by_alter_system()
    missing = [name for name, value in SEAL_SETTINGS.items() if configured.get(name) != value]
    if missing:
        _record(postgres.server, {name: configured.get(name) for name in SEAL_SETTINGS})
    for name in missing:
        postgres.execute(f"ALTER SYSTEM SET {name} = {SEAL_SETTINGS[name]};")
    return [f"set {name} = {SEAL_SETTINGS[name]}" for name in missing]


def before_first_start(server: Server, cluster: Cluster) -> None:
    """Have a cluster that does not run yet start read-only by default."""
    text = server.path(cluster.auto_config_file).read_text()
    setting = configuration.render("sealed by pgleap until it opens", {"default_transaction_read_only": "on"})
    _record(server, {"default_transaction_read_only": None})
    if setting not in text:
        server.write_durably(cluster.auto_config_file, (text + setting).encode())


def _record(server: Server, before: Record) -> Record:
    """Before the act; what is recorded already was read when nothing was set yet."""
    record = {**before, **server.read_json(SEAL_FILE)}
    server.write_json(SEAL_FILE, record)
    return record


def set_back(postgres: Postgres, names: Sequence[str] = tuple(SEAL_SETTINGS), unrecorded: bool = False) -> List[str]:
    """Have ALTER SYSTEM hold of these what it held before the seal; it counts from a reload on. What was done.

    `unrecorded`: what has the seal's value and is in no record is the seal's all the same. Raises Refusal.
    """
    configured = postgres.by_alter_system()
    record: Record = postgres.server.read_json(SEAL_FILE)
    for name in names:
        if unrecorded and name not in record and configured.get(name) == SEAL_SETTINGS[name]:
            record = _record(postgres.server, {name: None})
    changed = [name for name in names if name in record and configured.get(name) != record[name]]
    for name in changed:
        _alter(postgres, name, record[name])
    return [f"{name} is as it was" for name in changed]


def forget(postgres: Postgres) -> None:
    """All of them are as they were: seen, and struck from the record. Raises Refusal if one is not."""
    refuse_in_force(postgres, tuple(SEAL_SETTINGS))
    if postgres.server.read_json(SEAL_FILE):
        postgres.server.write_json(SEAL_FILE, {})


def refuse_in_force(postgres: Postgres, names: Sequence[str]) -> None:
    """Raises Refusal if a session that comes now gets one of these from ALTER SYSTEM, which held nothing of it before the seal."""
    record: Record = postgres.server.read_json(SEAL_FILE)
    there = postgres.rows(
        "SELECT name, setting FROM pg_settings WHERE sourcefile LIKE '%/postgresql.auto.conf' AND name IN ("
        + ", ".join(f"'{name}'" for name in names)
        + ")"
    )
    wrong = [f"{row['name']} = {row['setting']}" for row in there if record.get(row["name"], "") is None]
    if wrong:
        raise Refusal(
            "the seal's settings to be gone",
            f"{', '.join(wrong)} is in force still",
            f"see {postgres.cluster.auto_config_file}, then run `pulumi up` again",
        )


def _alter(postgres: Postgres, name: str, value: Optional[str]) -> None:
    """As ALTER SYSTEM would have it, also where that is forbidden since (allow_alter_system, from 17 on): its documentation says that the
    file can still be edited, and a database that stays read-only takes no writes."""
    quoted = "" if value is None else value.replace("'", "''")
    try:
        postgres.execute(f"ALTER SYSTEM RESET {name};" if value is None else f"ALTER SYSTEM SET {name} = '{quoted}';")
    except Refusal:
        if postgres.value("coalesce(current_setting('allow_alter_system', true), 'on')") != "off":
            raise
        file = postgres.cluster.auto_config_file
        lines = postgres.server.path(file).read_text().splitlines(keepends=True)
        text = "".join(line for line in lines if line.partition("=")[0].strip() != name)
        text += "" if value is None else configuration.render("set back by pgleap", {name: value})
        postgres.server.write_durably(file, text.encode())
