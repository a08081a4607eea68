"""DB_A's half of the reverse stream: identities, a publication and a slot in every database, made while nobody can write there."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import partial
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from agent import catalog, coverage, functions, short_locks, slots
from agent.coverage import Table
from agent.own_names import PUBLICATION
from agent.postgres import Postgres
from agent.report import progress
from agent.server import STATE_FOLDER, Server

# What the catalog was when DB_A became ready to open, and which tables got another replica identity: database -> table -> what it had, and
# what it got, a letter each as in pg_class.
BASELINE_FILE = f"{STATE_FOLDER}/catalog.json"
IDENTITIES_FILE = f"{STATE_FOLDER}/identities.json"
IDENTITIES = {"d": "DEFAULT", "f": "FULL", "n": "NOTHING"}
# Each ALTER takes a lock in a table that has room for max_locks_per_transaction x max_connections, 6,400 by default.
TABLES_AT_ONCE = 500


def slot_of(database: str) -> str:
    """The slot that carries a database; a slot's name has at most 63 small letters, digits and underscores."""
    plain = re.sub("[^a-z0-9]", "_", database.lower())[:40]
    return f"{PUBLICATION}_{plain}_{hashlib.md5(database.encode(), usedforsecurity=False).hexdigest()[:6]}"


def make_ready(postgres: Postgres, left_out: Sequence[str], jobs: int, compared: bool = True) -> List[str]:
    """Have the stream ready to start, and remember what the catalog was. What was done. `jobs`: databases side by side; `compared`:
    whether the way back will compare what both sides hold."""
    databases = coverage.databases(postgres)
    side_by_side = postgres.server.side_by_side
    seen = zip(databases, side_by_side(partial(_look, postgres, left_out), databases, jobs))
    # A database that was made since the fence was prepared has no functions to be compared by; it is told to have no slot.
    found = {database: tables for database, (comparable, tables) in seen if comparable or not compared}
    _remember_identities(postgres.server, found)
    side_by_side(lambda one: _publish(postgres, one, found.get(one)), databases, jobs)
    postgres.server.write_json(BASELINE_FILE, catalog.take(postgres, jobs))
    carried = sum(table.is_covered for tables in found.values() for table in tables)
    progress(f"ready to lead a stream back: {carried} tables in {len(found)} databases")
    return [f"made {len(found)} slots for a stream back"]


def _look(postgres: Postgres, left_out: Sequence[str], database: str) -> Tuple[bool, List[Table]]:
    """Whether a database has the functions that it is compared by, and its tables."""
    marks, rows = postgres.each_rows([functions.MARKED, coverage.QUERY], database)
    return functions.are_whole(marks), coverage.tables_in(rows, database, left_out, postgres.cluster.version)


def _remember_identities(server: Server, found: Dict[str, List[Table]]) -> None:
    """Before the act; what an earlier run has changed already is known from it."""
    before: Dict[str, Dict[str, str]] = server.read_json(IDENTITIES_FILE)
    for database, tables in found.items():
        fresh = {table.name: table.identity + table.sets for table in tables if table.is_covered and table.sets}
        before[database] = {**fresh, **before.get(database, {})}
    server.write_json(IDENTITIES_FILE, before)


def _publish(postgres: Postgres, database: str, tables: Optional[Sequence[Table]]) -> None:
    """Make publication and slot of a database, but for None."""
    if tables is not None:
        postgres.execute("\n".join(_publication(database, tables)), database, writing=True)


def _publication(database: str, tables: Sequence[Table]) -> List[str]:
    covered = [table for table in tables if table.is_covered]
    statements = [f"DROP PUBLICATION IF EXISTS {PUBLICATION};", f"CREATE PUBLICATION {PUBLICATION};"]
    statements += [
        f"ALTER TABLE {table.name} REPLICA IDENTITY {IDENTITIES[table.sets]};" for table in covered if table.sets
    ]
    for first in range(0, len(covered), TABLES_AT_ONCE):
        names = ", ".join(f"ONLY {table.name}" for table in covered[first : first + TABLES_AT_ONCE])
        statements.append(f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {names};")
    slot = slot_of(database)
    # Not in a DO block: where another transaction changes a catalog meanwhile, PL/pgSQL ends it with "snapshot reference ... is not owned by
    # resource owner" (15 and 17, one run of many with twenty databases; tests/agent/test_publisher.py). It prints an empty line.
    statements.append(
        f"SELECT FROM pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        f" WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{slot}');"
    )
    return statements


def take_away(postgres: Postgres) -> List[str]:
    """Publication, slots and added identities go: nobody follows DB_A that way any more. What was done."""
    server = postgres.server
    before: Dict[str, Dict[str, str]] = server.read_json(IDENTITIES_FILE)
    # First: a slot that nobody reads any more keeps WAL, however long a table is busy.
    changed = drop_slots(postgres)
    busy: Optional[short_locks.Busy] = None
    for database in coverage.databases(postgres):
        try:
            if _unpublish(postgres, database, before.get(database, {})):
                changed.append(f"took the publication of {database} away")
        except short_locks.Busy as refused:  # it holds up no other database
            busy = busy or refused
    if busy is not None:
        raise busy
    server.write_json(IDENTITIES_FILE, {})
    server.write_json(BASELINE_FILE, {})
    return changed


def _unpublish(postgres: Postgres, database: str, before: Mapping[str, str]) -> bool:
    """Identities, then the publication, by which the next run knows that there is something to do; whether there was."""
    if not postgres.rows(f"SELECT FROM pg_publication WHERE pubname = '{PUBLICATION}'", database):
        return False
    # A table may have been dropped or renamed since, or was given another identity by its owner.
    short_locks.each(postgres, [_identity_back(name, was) for name, was in before.items()], database)
    short_locks.execute(postgres, f"DROP PUBLICATION {PUBLICATION};", database, writing=True)
    return True


def drop_slots(postgres: Postgres) -> List[str]:
    """The slots go: a walsender holds its own for a while after its subscription has gone, or its server has died. What was done."""
    return slots.drop(postgres.server, postgres.rows, f"slot_name ~ '^{PUBLICATION}_'")


def _identity_back(table: str, was: str) -> str:
    """`was` is what it had, and what it got; an index of before may be there no more, and its primary key serves."""
    quoted, had, got = table.replace("'", "''"), was[0], was[1:] or "f"
    return (
        f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('{quoted}') AND relreplident = '{got}') THEN"
        f" ALTER TABLE {table} REPLICA IDENTITY {IDENTITIES.get(had, 'DEFAULT')}; END IF; END $$;"
    )


@dataclass(frozen=True)
class Since:
    """What became of DB_A since it was ready to open: what the stream does not carry, in sentences, and the tables (database, schema, name)
    that may differ though their row counts do not: those whose rows were written anew, and those without a key whose values can be equal and
    not the same."""

    changes: List[str]
    compare: Tuple[Tuple[str, str, str], ...]


def changes(postgres: Postgres, jobs: int) -> List[str]:
    """What was made, changed or dropped on DB_A since it was ready to open, and the stream does not carry."""
    return since(postgres, jobs).changes


def since(postgres: Postgres, jobs: int) -> Since:
    """The same, and what has to be compared. Nothing of a DB_A that leads no stream back."""
    baseline = postgres.server.read_json(BASELINE_FILE)
    if not baseline:
        return Since([], ())
    rows = catalog.rows_of(postgres, jobs)
    now = {database: catalog.fingerprint(found) for database, found in rows.items()}
    databases = [database for database in rows if database]
    side_by_side = postgres.server.side_by_side
    tables = zip(databases, side_by_side(partial(_tables, postgres), databases, jobs))
    loose = [(database, one.schema, one.table) for database, found in tables for one in found if one.loose]
    rewritten = [
        (database, *table)
        for database in databases
        for table in catalog.rewritten(baseline.get(database, {}), rows[database])
    ]
    return Since(catalog.differences(baseline, now), tuple(sorted({*loose, *rewritten})))


def _tables(postgres: Postgres, database: str) -> List[Table]:
    return coverage.tables(postgres, database, [], postgres.cluster.version)
