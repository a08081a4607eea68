"""What pg_upgrade refuses in a database, planted on a PostgreSQL server of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agent.check_names import CheckName
from agent.checks.removed_columns import REMOVED
from tests.preflight.databases import BINARIES, Database

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]

CHECKS = (
    CheckName.REG_TYPES,
    CheckName.REMOVED_TYPES,
    CheckName.REMOVED_OBJECTS,
    CheckName.REMOVED_COLUMNS,
    CheckName.NOT_NULL,
)
MODS = "SET allow_system_table_mods = on;"


@contextmanager
def _planted(database: Database, sql: str, undo: str = "DROP SCHEMA planted CASCADE") -> Iterator[None]:
    database.sql(f"BEGIN; CREATE SCHEMA planted; SET search_path = planted; {sql}; COMMIT")
    try:
        yield
    finally:
        database.sql(undo)


def _pair(database: Database, old: int, new: int) -> dict[str, Any]:
    """The same server, taken for one of version `old` on its way to `new`."""
    desired = database.desired()
    return {
        "postgres": {**desired["postgres"], "version": old},
        "newPostgres": {**desired["newPostgres"], "version": new},
    }


USUAL = """CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TYPE pair AS (a int, b mood); CREATE DOMAIN many AS pair[];
CREATE TABLE usual (id int PRIMARY KEY, class regclass, type regtype, role regrole, p pair, m many) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF usual FOR VALUES FROM (1) TO (9); CREATE VIEW looks AS SELECT oid, typinput FROM pg_type;
CREATE VIEW busy AS SELECT pid, buffers_alloc FROM pg_stat_activity, pg_stat_bgwriter;
CREATE FUNCTION f(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE OPERATOR !+! (LEFTARG = int, RIGHTARG = int, FUNCTION = f);
CREATE AGGREGATE all_of(anycompatible) (SFUNC = array_append, STYPE = anycompatiblearray);"""


@pytest.mark.parametrize("old, new", [(13, 18), (15, 17)])
def test_usual_objects_are_not_refused(database: Database, old: int, new: int) -> None:
    """A check that cries over an ordinary schema is switched off, and then misses the rest."""
    with _planted(database, USUAL):
        for name in CHECKS:
            assert database.found(name, **_pair(database, old, new)) == [], name


def test_reg_types(database: Database) -> None:
    """Wrapped in a domain, an array, a composite or a range, and in an index or a materialized view, they are refused as well."""
    sql = """CREATE TYPE holds AS (name text, what regproc); CREATE DOMAIN held AS holds; CREATE TABLE t (id int, plain regconfig, deep held[]);
    CREATE MATERIALIZED VIEW m AS SELECT 'now()'::regprocedure AS f; CREATE TABLE sys (row pg_class); CREATE TABLE inf (x information_schema.tables)"""
    with _planted(database, sql):
        found = database.found(CheckName.REG_TYPES)
    assert found == [
        "postgres: planted.inf.x (information_schema.tables)",
        "postgres: planted.m.f (regprocedure)",
        'postgres: planted.sys."row" (pg_class)',
        "postgres: planted.t.deep (regproc)",
        "postgres: planted.t.plain (regconfig)",
    ]


def test_reg_types_in_an_index(database: Database) -> None:
    """An expression's result is stored in no table's column."""
    sql = """CREATE FUNCTION f(int) RETURNS regnamespace IMMUTABLE LANGUAGE sql AS 'SELECT ''planted''::regnamespace';
    CREATE TABLE t (id int); CREATE INDEX odd ON t (f(id))"""
    with _planted(database, sql):
        assert database.found(CheckName.REG_TYPES) == ["postgres: planted.odd.f (regnamespace)"]


def test_changed_types(database: Database) -> None:
    """The files of a table with aclitems are taken over as they are, and read wrongly from 16 on."""
    with _planted(database, "CREATE TABLE t (rights aclitem[])"):
        assert database.found(CheckName.REMOVED_TYPES, **_pair(database, 15, 17)) == [
            "postgres: planted.t.rights (aclitem)"
        ]
        assert database.found(CheckName.REMOVED_TYPES, **_pair(database, 16, 17)) == []
        assert database.found(CheckName.REMOVED_TYPES, **_pair(database, 13, 15)) == []


def test_postfix_operators(database: Database) -> None:
    """14 and later make none, so an operator's row is bent to be one, as 13 would hold it."""
    sql = f"""CREATE FUNCTION f(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE OPERATOR !!! (LEFTARG = int, RIGHTARG = int, FUNCTION = f);
    {MODS} UPDATE pg_operator SET oprright = 0 WHERE oprname = '!!!'"""
    undo = f"{MODS} UPDATE pg_operator SET oprright = 'int'::regtype WHERE oprname = '!!!'; DROP SCHEMA planted CASCADE"
    with _planted(database, sql, undo):
        (found,) = database.found(CheckName.REMOVED_OBJECTS, **_pair(database, 13, 17))
        assert found == "postgres: the postfix operator planted.!!! (integer, NONE)"
        assert database.found(CheckName.REMOVED_OBJECTS, **_pair(database, 14, 17)) == []


def test_encoding_conversions(database: Database) -> None:
    with _planted(database, "CREATE CONVERSION own FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8"):
        (found,) = database.found(CheckName.REMOVED_OBJECTS, **_pair(database, 13, 14))
        assert found == "postgres: the encoding conversion planted.own"
        assert database.found(CheckName.REMOVED_OBJECTS, **_pair(database, 14, 17)) == []


def test_polymorphic_aggregates_and_operators(database: Database) -> None:
    """14 and later make none over anyarray, so the rows are bent to be as 13 would hold them."""
    sql = f"""CREATE AGGREGATE all_of(anycompatible) (SFUNC = array_append, STYPE = anycompatiblearray);
    CREATE OPERATOR !+! (LEFTARG = anycompatiblearray, RIGHTARG = anycompatible, FUNCTION = array_append);
    {MODS} UPDATE pg_aggregate SET aggtranstype = 'anyarray'::regtype WHERE aggfnoid = 'all_of'::regproc;
    UPDATE pg_operator SET oprleft = 'anyarray'::regtype WHERE oprname = '!+!'"""
    with _planted(database, sql):
        found = database.found(CheckName.REMOVED_OBJECTS, **_pair(database, 13, 17))
        assert [line.split(",")[-1] for line in found] == [" built on array_append", " built on array_append"]
        assert "the aggregate planted.all_of(anycompatible)" in found[0] and "the operator planted.!+!(" in found[1]
        assert database.found(CheckName.REMOVED_OBJECTS, **_pair(database, 15, 17)) == []


def test_databases_that_pg_upgrade_refuses(database: Database) -> None:
    """A database that nobody gets into, or half dropped, is refused by pg_upgrade or lost by it."""
    database.sql("CREATE DATABASE shut ALLOW_CONNECTIONS false STRATEGY file_copy")
    assert database.found(CheckName.REMOVED_OBJECTS) == ["the database shut lets no connections in (datallowconn)"]
    database.sql("UPDATE pg_database SET datconnlimit = -2, datallowconn = true WHERE datname = 'shut'")
    (found,) = database.found(CheckName.REMOVED_OBJECTS)
    assert found.startswith("the database shut is invalid")
    database.sql("UPDATE pg_database SET datconnlimit = -1 WHERE datname = 'shut'")
    database.sql("DROP DATABASE shut")
    assert database.found(CheckName.REMOVED_OBJECTS) == []


def test_another_superuser_than_initdbs(database: Database) -> None:
    """pg_upgrade works as the role that initdb made only."""
    named = {**database.desired()["postgres"], "superuser": "boss"}
    (found,) = database.found(CheckName.REMOVED_OBJECTS, postgres=named)
    assert found == "the superuser that initdb made is postgres, and the stack says boss"


def test_views_on_columns_that_are_gone(database: Database) -> None:
    """`pg_upgrade --check` says nothing of them: the real one fails, with writes refused."""
    sql = """CREATE VIEW writes AS SELECT b.checkpoints_req + b.buffers_backend AS n FROM pg_stat_bgwriter b;
    CREATE VIEW locales AS SELECT * FROM pg_database; CREATE VIEW fine AS SELECT datname FROM pg_database"""
    with _planted(database, sql):
        assert database.found(CheckName.REMOVED_COLUMNS, **_pair(database, 15, 17)) == [
            "postgres: the view planted.locales on pg_database.daticulocale",
            "postgres: the view planted.writes on pg_stat_bgwriter.buffers_backend, pg_stat_bgwriter.checkpoints_req",
        ]
        assert database.found(CheckName.REMOVED_COLUMNS, **_pair(database, 15, 16)) == []


def test_columns_that_are_gone_were_there(database: Database) -> None:
    """A column misspelt in the table would never be found."""
    version = int(database.bin.parent.name)
    named = [(view, name) for view, columns in REMOVED.items() for gone, name in columns if gone > version]
    values = ", ".join(f"('{view}', '{name}')" for view, name in named)
    missing = f"""SELECT v, n FROM (VALUES {values}) AS c(v, n) WHERE to_regclass(v) IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(v) AND attname = n)"""
    assert database.sql(missing) == ""


def test_children_without_their_parents_not_null(database: Database) -> None:
    """The schema's restore fails over it, in the window for versions whose pg_upgrade does not look."""
    sql = "CREATE TABLE parent (a int NOT NULL, b int NOT NULL); CREATE TABLE child () INHERITS (parent)"
    with _planted(database, sql):
        assert database.found(CheckName.NOT_NULL) == []
        database.sql(
            f"{MODS} UPDATE pg_attribute SET attnotnull = false WHERE attrelid = 'planted.child'::regclass AND attname = 'b'"
        )
        assert database.found(CheckName.NOT_NULL) == ["postgres: planted.child.b may be null, planted.parent's may not"]
        assert database.found(CheckName.NOT_NULL, **_pair(database, 18, 19)) == []


def test_other_databases_are_seen(database: Database) -> None:
    """What stands in a database that nobody thinks of is refused all the same."""
    database.sql("CREATE DATABASE aside STRATEGY file_copy")
    database.sql("CREATE TABLE t (c regproc)", "aside")
    assert database.found(CheckName.REG_TYPES) == ["aside: public.t.c (regproc)"]
    database.sql("DROP DATABASE aside")
