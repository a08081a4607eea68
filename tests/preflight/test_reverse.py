"""What the way back would not bring along, and sequences near their end, planted on a PostgreSQL server of the test's own."""

from __future__ import annotations

import pytest

from agent.check_names import CheckName
from agent.checks import reverse
from tests.preflight.databases import BINARIES, Database, running
from tests.preflight.standbys import until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


def test_tables_that_are_not_carried(database: Database) -> None:
    """What is written to them after cutover would be gone, and only be missed after going back."""
    database.sql(
        "CREATE TABLE keyed (id int PRIMARY KEY, body json); CREATE TABLE plain (id int); CREATE UNLOGGED TABLE cache (id int)"
    )
    assert database.found(CheckName.REPLICA_IDENTITY) == []
    database.sql("CREATE TABLE blind (body json)")
    assert database.found(CheckName.REPLICA_IDENTITY) == [
        "postgres: public.blind (it has no key, and json cannot be compared)"
    ]
    for entry in ("postgres.public.blind", 'postgres.public."blind"', "Postgres.PUBLIC.blind"):
        left_out = {"enabled": True, "leaveOut": [entry]}
        assert database.found(CheckName.REPLICA_IDENTITY, reverse=left_out) == []
        assert database.found(CheckName.LEAVE_OUT, reverse=left_out) == []
    wrong = ["postgres.public.blnd", "public.blind", "postgres.public.blind"]
    assert database.found(CheckName.LEAVE_OUT, reverse={"enabled": True, "leaveOut": wrong}) == [
        "postgres.public.blnd names no table",
        "public.blind names no table",
    ]
    assert database.found(CheckName.LEAVE_OUT, reverse={"enabled": False, "leaveOut": wrong}) == []
    assert database.found(CheckName.REPLICA_IDENTITY, reverse={"enabled": False, "leaveOut": []}) == []
    database.sql("DROP TABLE keyed, plain, cache, blind")


def test_large_tables_without_a_key(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream back carries them and falls behind without end."""
    monkeypatch.setattr(reverse, "LARGE_BYTES", 100_000)
    database.sql(
        """CREATE TABLE "it's large" AS SELECT repeat('x', 1000) AS body FROM generate_series(1, 200); CREATE TABLE small (id int);
        CREATE TABLE keyed AS SELECT n AS id, repeat('x', 1000) AS body FROM generate_series(1, 200) n; ALTER TABLE keyed ADD PRIMARY KEY (id)"""
    )
    database.sql("""CREATE TABLE log AS SELECT repeat('x', 1000) AS line FROM generate_series(1, 200)""")
    assert database.found(CheckName.KEYLESS_TABLES) == [], "what is only added to is carried as well as with a key"
    database.sql("""UPDATE "it's large" SET body = 'y' WHERE ctid = '(0,1)'; DELETE FROM keyed WHERE id = 1;""")
    until(database, "SELECT n_tup_upd = 1 FROM pg_stat_user_tables WHERE relname = 'it''s large'")
    (found,) = database.found(CheckName.KEYLESS_TABLES)
    assert found.startswith('postgres: public."it\'s large" (')
    assert found.endswith(", 1 rows updated or deleted since statistics began)")
    database.sql(
        """CREATE INDEX by_start ON "it's large" (left(body, 9)); CREATE INDEX few ON "it's large" (body) WHERE body < 'b'"""
    )
    assert len(database.found(CheckName.KEYLESS_TABLES)) == 1, "no row is found by these"
    database.sql("DROP INDEX by_start, few")
    database.sql("""ALTER TABLE "it's large" REPLICA IDENTITY FULL""")
    assert len(database.found(CheckName.KEYLESS_TABLES)) == 1
    left_out = {"enabled": True, "leaveOut": ['postgres.public."it\'s large"']}
    assert database.found(CheckName.KEYLESS_TABLES, reverse=left_out) == []
    monkeypatch.setattr(reverse, "LARGE_BYTES", 10_000_000)
    assert database.found(CheckName.KEYLESS_TABLES) == []
    database.sql("""DROP TABLE "it's large", small, keyed, log""")


def test_a_table_without_a_key_whose_rows_an_index_finds(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 16 on any B-tree that begins with a column serves the worker on the old primary."""
    monkeypatch.setattr(reverse, "LARGE_BYTES", 1000)
    if int(BINARIES[-1].parent.name) < reverse.ANY_INDEX_SINCE:
        pytest.skip("no PostgreSQL that late is here")
    with running(tmp_path_factory.mktemp("late"), binaries=BINARIES[-1]) as late:
        late.sql(
            "CREATE TABLE found AS SELECT n AS id, n + 0 AS more FROM generate_series(1, 1000) n; UPDATE found SET more = 0 WHERE id = 1;"
            "CREATE INDEX few ON found (id) WHERE id < 9; CREATE INDEX computed ON found ((id + 1)); CREATE INDEX hashed ON found USING hash (id)"
        )
        until(late, "SELECT n_tup_upd = 1 FROM pg_stat_user_tables WHERE relname = 'found'")
        assert len(late.found(CheckName.KEYLESS_TABLES)) == 1
        late.sql("CREATE INDEX whole ON found (id, (more + 1))")
        assert late.found(CheckName.KEYLESS_TABLES) == []


def test_tables_of_extensions(database: Database) -> None:
    """Every fleet with PostGIS was warned of spatial_ref_sys, which nobody writes to."""
    database.sql("CREATE TABLE srs (id int PRIMARY KEY); ALTER EXTENSION plpgsql ADD TABLE srs")
    assert database.found(CheckName.REPLICA_IDENTITY) == []
    assert database.found(CheckName.EXTENSION_TABLES) == ["postgres: public.srs (it belongs to an extension)"]
    database.sql("ALTER EXTENSION plpgsql DROP TABLE srs; DROP TABLE srs")


def test_sequences_near_their_end(database: Database) -> None:
    """The column that a sequence fills may end before it: an old serial is an integer filled by a bigint sequence."""
    database.sql(
        """CREATE SEQUENCE small AS smallint; CREATE SEQUENCE down INCREMENT -1 MINVALUE -1000; CREATE SEQUENCE round MAXVALUE 1000 CYCLE;
        CREATE SEQUENCE whole; CREATE TABLE orders (id serial, other bigserial); ALTER SEQUENCE orders_id_seq AS bigint;
        CREATE TABLE fresh (id smallint GENERATED ALWAYS AS IDENTITY);
        SELECT setval('small', 29000), setval('down', -890), setval('round', 999), setval('whole', 2147000000),
          setval('orders_id_seq', 1900000000), setval('orders_other_seq', 2147000000)"""
    )
    assert database.found(CheckName.SEQUENCES) == []
    database.sql("SELECT setval('small', 32000), setval('down', -990), setval('orders_id_seq', 2000000000)")
    assert database.found(CheckName.SEQUENCES) == [
        "postgres: public.down is at -990 of -1000 (99 %)",
        "postgres: public.small is at 32000 of 32767 (98 %)",
        "postgres: public.orders_id_seq is at 2000000000 of 2147483647 (93 %)",
    ]
    database.sql("DROP TABLE orders, fresh; DROP SEQUENCE small, down, round, whole")


def test_functions_that_need_a_search_path(database: Database) -> None:
    """The first row of such a table stops the stream of its whole database, for there functions find nothing by a bare name."""
    database.sql(
        """CREATE FUNCTION helper(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
        CREATE FUNCTION norm(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN helper($1); END';
        CREATE FUNCTION is_well(text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN helper($1) IS NOT NULL; END';
        CREATE FUNCTION innocent(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN upper($1); END';
        CREATE FUNCTION qualified(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT public.helper($1)';
        CREATE TABLE indexed (x text); CREATE INDEX ON indexed (norm(x)); INSERT INTO indexed VALUES ('A');
        CREATE TABLE partial (x text); CREATE INDEX ON partial (x) WHERE is_well(x);
        CREATE TABLE checked (x text CHECK (is_well(x))); CREATE TABLE fills (x text, g text GENERATED ALWAYS AS (norm(x)) STORED);
        CREATE DOMAIN well AS text CHECK (is_well(VALUE)); CREATE DOMAIN very_well AS well; CREATE TABLE held (x very_well);
        CREATE TABLE parts (x text) PARTITION BY LIST (norm(x)); CREATE TABLE part_a PARTITION OF parts FOR VALUES IN ('a');
        CREATE TABLE fine (x text CHECK (innocent(x) <> ''), g text GENERATED ALWAYS AS (qualified(x)) STORED);
        CREATE INDEX ON fine (qualified(x), innocent(x)); INSERT INTO fine VALUES ('x');
        CREATE TABLE counted (x text); CREATE STATISTICS "of it" ON (norm(x)), (lower(x)) FROM counted;
        CREATE MATERIALIZED VIEW seen AS SELECT x FROM indexed; CREATE INDEX seen_norm ON seen (norm(x))"""
    )
    found = database.found(CheckName.SEARCH_PATHS)
    assert [one.split(" calls")[0] for one in found] == [
        "postgres: public.checked: the constraint checked_x_check",
        'postgres: public.counted: the statistics "of it"',
        "postgres: public.fills: the generated column g",
        "postgres: public.held: the domain of the column x",
        "postgres: public.indexed: the index public.indexed_norm_idx",
        "postgres: public.part_a: the partition key",
        "postgres: public.partial: the index public.partial_x_idx",
        "postgres: public.seen: the index public.seen_norm",
    ]
    assert all("function helper(text) does not exist" in one for one in found)
    database.sql(
        "ALTER FUNCTION norm(text) SET search_path = public; ALTER FUNCTION is_well(text) SET search_path = public"
    )
    assert database.found(CheckName.SEARCH_PATHS) == []
    database.sql(
        "DROP MATERIALIZED VIEW seen; DROP TABLE counted, indexed, partial, checked, fills, held, parts, fine; DROP DOMAIN very_well, well; DROP FUNCTION norm, is_well, innocent, qualified, helper"
    )


@pytest.mark.skipif(not BINARIES or int(BINARIES[0].parent.name) >= 17, reason="no server of before 17")
def test_materialized_views_that_need_a_search_path(database: Database) -> None:
    """What was refreshed every night fails on DB_A from 17 on, and clients read what is older and older."""
    database.sql(
        """CREATE TABLE rate (c text PRIMARY KEY, r numeric); INSERT INTO rate VALUES ('eur', 2);
        CREATE FUNCTION eur(numeric) RETURNS numeric LANGUAGE sql STABLE AS $$SELECT $1 * r FROM rate WHERE c = 'eur'$$;
        CREATE FUNCTION upper_of(text) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN upper($1); END';
        CREATE TABLE paid (a numeric); INSERT INTO paid VALUES (1);
        CREATE MATERIALIZED VIEW in_euro AS SELECT eur(a) FROM paid;
        CREATE VIEW "between" AS SELECT eur(a) AS a FROM paid; CREATE MATERIALIZED VIEW by_a_view AS SELECT sum(a) FROM "between";
        CREATE FUNCTION same(text, numeric) RETURNS bool LANGUAGE sql STABLE AS $$SELECT $1 = c FROM rate WHERE r = $2$$;
        CREATE OPERATOR ~~~ (LEFTARG = text, RIGHTARG = numeric, FUNCTION = same);
        CREATE MATERIALIZED VIEW by_operator AS SELECT c ~~~ r AS s FROM rate;
        CREATE MATERIALIZED VIEW fine AS SELECT upper_of(c) FROM rate"""
    )
    found = database.found(CheckName.SEARCH_PATHS)
    assert [one.partition(" calls")[0] for one in found] == [
        "postgres: REFRESH of public.by_a_view",
        "postgres: REFRESH of public.by_operator",
        "postgres: REFRESH of public.in_euro",
    ]
    assert all('relation "rate" does not exist' in one for one in found)
    database.sql(
        "ALTER FUNCTION eur(numeric) SET search_path = public; ALTER FUNCTION same(text, numeric) SET search_path = public"
    )
    assert database.found(CheckName.SEARCH_PATHS) == []
    database.sql(
        """DROP MATERIALIZED VIEW in_euro, by_a_view, by_operator, fine; DROP OPERATOR ~~~ (text, numeric); DROP FUNCTION same; DROP VIEW "between"; DROP TABLE rate, paid;
        DROP FUNCTION eur, upper_of"""
    )


def test_rows_that_are_equal_and_not_the_same(database: Database) -> None:
    """Which row gets an update is chance there, and nobody sees it by counting."""
    database.sql(
        "CREATE TABLE loose (n numeric, j jsonb); CREATE TABLE exact (n numeric(9, 2)); CREATE TABLE kept (n numeric PRIMARY KEY)"
    )
    assert database.found(CheckName.EQUAL_ROWS) == ["postgres: public.loose (jsonb, numeric)"]
    assert database.found(CheckName.EQUAL_ROWS, reverse={"enabled": False, "leaveOut": []}) == []
    database.sql("DROP TABLE loose, exact, kept")
