"""Triggers on the old primary that would fire while the stream is applied there: ENABLE ALWAYS and ENABLE REPLICA.

What they did on DB_A comes along by itself, so they would do it twice, or stop the stream: an apply worker has an empty search_path. While
the old primary follows they are as ordinary sessions see them anyway: ALWAYS becomes enabled, REPLICA disabled (documentation, ALTER TABLE,
"DISABLE/ENABLE TRIGGER"). So clients notice nothing, and it does no harm that some stay so for a while after the old primary has opened.
"""

from __future__ import annotations

from typing import Dict, List, Sequence

from agent import short_locks
from agent.postgres import Postgres
from agent.report import Refusal, progress
from agent.server import STATE_FOLDER

# Database -> [schema, table, trigger, how it was enabled], written before any is altered.
TRIGGERS_FILE = f"{STATE_FOLDER}/triggers.json"
QUERY = """SELECT n.nspname AS schema, c.relname AS table, t.tgname AS trigger, t.tgenabled AS enabled
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.tgenabled IN ('A', 'R') AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' ORDER BY t.oid"""
MEANWHILE = {"A": "ENABLE", "R": "DISABLE"}
BEFORE = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}
PATIENCE_SECONDS = 15.0


def keep_quiet(postgres: Postgres, databases: Sequence[str], jobs: int) -> List[str]:
    """Have none of them fire for rows that are applied. What was done. `jobs`: databases side by side."""
    each = postgres.server.side_by_side(lambda one: postgres.rows(QUERY, one), databases, jobs)
    found = {
        database: [[row["schema"], row["table"], row["trigger"], row["enabled"]] for row in rows]
        for database, rows in zip(databases, each)
        if rows
    }
    if not found:
        return []
    before: Dict[str, List[List[str]]] = postgres.server.read_json(TRIGGERS_FILE)
    for database, triggers in found.items():
        known = [one for one in before.get(database, []) if one[:3] not in [each[:3] for each in triggers]]
        before[database] = known + triggers
    postgres.server.write_json(TRIGGERS_FILE, before)
    for database, triggers in found.items():
        for one in triggers:
            _alter(postgres, database, one, MEANWHILE[one[3]])
    return [
        f"{len(triggers)} triggers of {database} do not fire for what is applied"
        for database, triggers in found.items()
    ]


def as_before(postgres: Postgres) -> List[str]:
    """They fire as they did before. What was done, and which could not be altered, for their tables were in use for too long."""
    before: Dict[str, List[List[str]]] = postgres.server.read_json(TRIGGERS_FILE)
    if not before:
        return []
    done: List[str] = []
    left: Dict[str, List[List[str]]] = {}
    for database, triggers in before.items():
        for one in triggers:
            try:
                _alter(postgres, database, one, BEFORE[one[3]])
            except Refusal as refused:
                left.setdefault(database, []).append(one)
                done.append(
                    f"{database}: {'.'.join(one[:2])}: the trigger {one[2]} is not as before yet, {refused.found}; `pulumi config set round <one higher> && pulumi up` tries again"
                )
                progress(done[-1])
        done.append(f"triggers of {database} fire as before")
    postgres.server.write_json(TRIGGERS_FILE, left)
    return done


def _alter(postgres: Postgres, database: str, trigger: Sequence[str], how: str) -> None:
    """Raises Refusal if the table's lock is not to be had. One that is gone meanwhile is nobody's concern."""
    schema, table, name = (_quoted(part) for part in trigger[:3])
    there = f"to_regclass({_literal(f'{schema}.{table}')})"
    alter = f"ALTER TABLE ONLY {schema}.{table} {how} TRIGGER {name}"
    statement = (
        f"DO $do$ BEGIN IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = {there} AND tgname = {_literal(trigger[2])}) THEN"
        f" EXECUTE {_literal(alter)}; END IF; END $do$;"
    )
    short_locks.execute(postgres, statement, database, writing=True, seconds=PATIENCE_SECONDS, what=alter)


def _quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
