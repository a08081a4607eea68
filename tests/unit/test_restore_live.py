"""A real catalog restored, and its definitions across a real pg_upgrade, on servers of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.asked import Dump
from rehearsal.data.definitions import changed, definitions
from rehearsal.data.fill import Size, fill
from rehearsal.data.restore import Restored, restore
from tests.unit.own_server import BINARIES, Server, placed, running

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(len(BINARIES) < 2, reason="no two PostgreSQL versions at /usr/lib/postgresql/*/bin"),
]

# What the lab's own schema has not: policies, rules of rights, an identity, extended statistics, a range type, an exclusion, a function in SQL.
MORE = """
CREATE SCHEMA "Odd Schema" AUTHORIZATION app_owner;
CREATE TYPE "Odd Schema".span AS RANGE (subtype = float8);
CREATE TABLE "Odd Schema"."Odd Table" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant name DEFAULT CURRENT_USER, v text COLLATE "C",
    at tstzrange, EXCLUDE USING gist (at WITH &&), CONSTRAINT short CHECK (length(v) < 9) NOT VALID);
ALTER TABLE "Odd Schema"."Odd Table" ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON "Odd Schema"."Odd Table" TO app_reader USING (tenant = CURRENT_USER);
CREATE STATISTICS "Odd Schema".both ON tenant, v FROM "Odd Schema"."Odd Table";
CREATE FUNCTION "Odd Schema".twice(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n * 2;
CREATE VIEW "Odd Schema".short AS SELECT o.id, o.v FROM "Odd Schema"."Odd Table" o WHERE o.id > 3;
CREATE RULE no_delete AS ON DELETE TO "Odd Schema"."Odd Table" DO INSTEAD NOTHING;
GRANT ALL ON "Odd Schema"."Odd Table" TO app_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA "Odd Schema" GRANT SELECT ON TABLES TO app_reader;
REVOKE EXECUTE ON FUNCTION "Odd Schema".twice FROM PUBLIC;
"""
# As pg_dump has an extension and what needs it.
MISSING = """
--
-- Name: postgis; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;


--
-- Name: spot; Type: TABLE; Schema: public; Owner: surveyor
--

CREATE TABLE public.spot (
    at public.geometry
);


ALTER TABLE public.spot OWNER TO surveyor;

--
-- Name: plain; Type: TABLE; Schema: public; Owner: surveyor
--

SET transaction_timeout = 0;
CREATE TABLE public.plain (id int);


ALTER TABLE public.plain OWNER TO surveyor;
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The oldest version there is, with the lab's data and more kinds of objects."""
    with running(tmp_path_factory.mktemp("old"), BINARIES[0]) as server:
        size = Size(rows=200, bench_scale=1, extra_tables=6, databases=6, large_objects=1500)
        fill(server.psql, server.pgbench, size, str(server.archive))
        server.psql("shop", MORE)
        yield server


@pytest.fixture(scope="module")
def restored(old: Server, tmp_path_factory: pytest.TempPathFactory) -> Restored:
    """The lab's own shop, dumped and restored as if it were somebody's."""
    file = tmp_path_factory.mktemp("dump") / "shop.sql"
    file.write_text(old.run(["pg_dump", "--schema-only", "shop"]))
    return restore(old.psql, old.psql_on, Dump("shop_real", file))


def test_as_much_is_there_as_was_asked_for(old: Server) -> None:
    """Databases and large objects that were never made are compared, and found equal."""
    assert old.psql("shop", "SELECT count(*) >= 1500 FROM pg_largeobject_metadata").strip() == "t"
    for database in ("metrics", "tenant1", "tenant2"):
        assert old.psql(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'many'").strip() == "2"
    relations = "SELECT count(*) FROM pg_class WHERE relnamespace = 'many'::regnamespace OR relname ~ '^pg_toast_' AND oid > 16384"
    assert old.psql("tenant1", relations).strip() == "10"


def test_a_schema_is_restored_whole(old: Server, restored: Restored) -> None:
    """What was lost on the way into the lab is not rehearsed, and nobody says so."""
    assert restored.not_rehearsed == []
    assert restored.counts["views"] > 2
    found = definitions(old.psql, ["shop", "shop_real"])
    assert changed({"it": found["shop"]}, {"it": found["shop_real"]}) == []
    assert len(found["shop"]) > 60


def test_what_the_server_has_not_is_named_and_the_rest_is_there(old: Server, tmp_path: Path) -> None:
    """A rehearsal that stops at an extension rehearses nothing."""
    file = tmp_path / "survey.sql"
    file.write_text(MISSING)
    made = restore(old.psql, old.psql_on, Dump("survey", file))
    assert made.extensions_missing == ("postgis",)
    assert made.counts == {"tables": 1}
    assert made.roles == ("surveyor",)
    assert any("TABLE public.spot" in line for line in made.not_rehearsed), made.not_rehearsed
    assert not any("transaction_timeout" in line for line in made.not_rehearsed)
    assert old.psql("survey", "SELECT tableowner FROM pg_tables WHERE tablename = 'plain'").strip() == "surveyor"


CHANGES = [
    ("DROP INDEX customer_name", "index public.customer_name is only there before"),
    (
        "ALTER TABLE stock DROP CONSTRAINT stock_quantity_check",
        "constraint stock_quantity_check on public.stock is only there before",
    ),
    ("ALTER TABLE stock ALTER quantity SET DEFAULT 41", "table public.stock is defined otherwise"),
    ("ALTER TABLE stock_change ALTER what TYPE varchar", "table public.stock_change is defined otherwise"),
    ("ALTER TABLE stock DISABLE TRIGGER stock_changed", "trigger stock_changed on public.stock is defined otherwise"),
    ("REVOKE INSERT ON orders FROM app_writer", "partitioned table public.orders is defined otherwise"),
    ("ALTER TYPE order_state ADD VALUE 'lost'", "type public.order_state is defined otherwise"),
    ('DROP POLICY own ON "Odd Schema"."Odd Table"', 'policy own on "Odd Schema"."Odd Table" is only there before'),
    (
        'GRANT EXECUTE ON FUNCTION "Odd Schema".twice TO PUBLIC',
        'function "Odd Schema".twice(n integer) is defined otherwise',
    ),
    ("ALTER VIEW order_total OWNER TO postgres", "view public.order_total is defined otherwise"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES, ids=[told for _, told in CHANGES])
def test_each_change_is_seen(old: Server, restored: Restored, change: str, told: str) -> None:
    """A digest that misses an index would call a damaged catalog equal."""
    before = definitions(old.psql, [restored.database])
    old.psql("postgres", f"CREATE DATABASE spoiled TEMPLATE {restored.database};")
    try:
        old.psql("spoiled", change)
        after = definitions(old.psql, ["spoiled"])
    finally:
        old.psql("postgres", "DROP DATABASE spoiled;")
    assert told in [
        line.removeprefix("it: ") for line in changed({"it": before["shop_real"]}, {"it": after["spoiled"]})
    ]


def test_a_major_upgrade_changes_none_of_them(
    old: Server, restored: Restored, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every rehearsal would fail over how a version words what it has. Last: it needs the old server stopped, and starts it again."""
    databases = [restored.database, "shop", "forum", "metrics", "bench"]
    before = definitions(old.psql, databases)
    new = placed(tmp_path_factory.mktemp("new"), BINARIES[-1])
    new.initialize()
    old.stop("fast")
    try:
        new.run(
            [
                *(
                    "pg_upgrade",
                    "-b",
                    str(old.binaries),
                    "-B",
                    str(new.binaries),
                    "-d",
                    str(old.data),
                    "-D",
                    str(new.data),
                ),
                *("-U", "postgres", "-s", str(new.folder), "-o", "-c fsync=off", "-O", "-c fsync=off"),
            ]
        )
    finally:
        old.start()
    new.start()
    try:
        assert changed(before, definitions(new.psql, databases)) == []
    finally:
        new.stop()
