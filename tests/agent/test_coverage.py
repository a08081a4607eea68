"""What the stream back carries, and by which key: on an old primary and a DB_A of the test's own, each table changed and followed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent import configuration, coverage, functions, publisher, replica_triggers, sequences, way_back
from agent.subscriber import Subscriber
from tests.agent.two_sides import NEEDS_POSTGRESQL, Side, Sides, two_sides

pytestmark = NEEDS_POSTGRESQL
PATIENCE_SECONDS = 30
TABLES = """
CREATE TABLE key_generated (a int, b int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY, c text);
CREATE TABLE identity_generated (a int NOT NULL, b int GENERATED ALWAYS AS (a * 2) STORED NOT NULL, c text);
CREATE UNIQUE INDEX identity_generated_b ON identity_generated (b);
ALTER TABLE identity_generated REPLICA IDENTITY USING INDEX identity_generated_b;
CREATE TABLE both_keys (id int PRIMARY KEY, b int GENERATED ALWAYS AS (id * 2) STORED NOT NULL, c text);
CREATE UNIQUE INDEX both_keys_b ON both_keys (b);
ALTER TABLE both_keys REPLICA IDENTITY USING INDEX both_keys_b;
CREATE TABLE included (id int, b int GENERATED ALWAYS AS (id * 2) STORED, c text, PRIMARY KEY (id) INCLUDE (b));
CREATE TABLE is_full (id int PRIMARY KEY, body json, c text); ALTER TABLE is_full REPLICA IDENTITY FULL;
CREATE TABLE is_nothing (id int PRIMARY KEY, body json, c text); ALTER TABLE is_nothing REPLICA IDENTITY NOTHING;
CREATE TABLE lost_index (id int PRIMARY KEY, other int NOT NULL, body json, c text); CREATE UNIQUE INDEX lost ON lost_index (other);
ALTER TABLE lost_index REPLICA IDENTITY USING INDEX lost; DROP INDEX lost;
CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE, c text);
CREATE TABLE deferred_blind (id int PRIMARY KEY DEFERRABLE, body json, c text);
CREATE TABLE keyless_nothing (a int, c text); ALTER TABLE keyless_nothing REPLICA IDENTITY NOTHING;
CREATE TABLE keyless_generated (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c text);
CREATE TABLE keyless_xml (a xml, c text);
CREATE TABLE parent (id int, c text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF parent FOR VALUES FROM (0) TO (10); ALTER TABLE leaf REPLICA IDENTITY FULL;
"""
NOT_CARRIED = {
    "key_generated": "generated", "identity_generated": "generated", "both_keys": "generated", "deferred_blind": "json", "keyless_xml": "xml",
}  # fmt: skip
VALUES = {
    "key_generated": "(a) VALUES (1), (2)", "identity_generated": "(a) VALUES (1), (2)", "both_keys": "(id) VALUES (1), (2)",
    "included": "(id) VALUES (1), (2)", "is_full": "(id, body) VALUES (1, '{}'), (2, '{}')",
    "is_nothing": "(id, body) VALUES (1, '{}'), (2, '{}')", "lost_index": "(id, other) VALUES (1, 1), (2, 2)", "deferred": "(id) VALUES (1), (2)",
    "deferred_blind": "(id) VALUES (1), (2)", "keyless_nothing": "(a) VALUES (1), (2)", "keyless_generated": "(a) VALUES (1), (2)",
    "keyless_xml": "(a) VALUES ('<a/>')", "leaf": "(id) VALUES (1), (2)",
}  # fmt: skip


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with two_sides() as found:
        for side in (found.old, found.new):
            functions.make(side.postgres, "postgres")
        found.make_database("shop")
        yield found


def follow(sides: Sides) -> Subscriber:
    """Have the old primary follow DB_A, as cutover does."""
    publisher.make_ready(sides.new.postgres, [], 1)
    subscriber = Subscriber(sides.old.postgres, sides.new.other(), 1)
    subscriber.subscribe()
    return subscriber


@contextmanager
def busy(side: Side, database: str, sql: str) -> Iterator[None]:
    """A client's transaction that stays open for as long as this lasts."""
    own = side.database
    where = ["-h", str(own.folder), "-p", str(own.port), "-U", "postgres", "-d", database]
    client = subprocess.Popen(
        [str(own.bin / "psql"), "-XqAt", *where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(f"BEGIN; {sql}; SELECT 'there';\n")
    client.stdin.flush()
    assert client.stdout.readline() == "there\n"
    try:
        yield
    finally:
        client.kill()
        client.communicate()


def identities(sides: Sides) -> str:
    return sides.new.sql("SELECT string_agg(concat(relname, relreplident), ' ' ORDER BY oid) FROM pg_class WHERE relkind = 'r' AND oid >= 16384"
                         " AND relnamespace = 'public'::regnamespace", "carried")  # fmt: skip


def test_what_is_called_carried_is_carried(sides: Sides) -> None:
    """One UPDATE that the old primary cannot place stops its whole database, and what is left out for no reason is lost on a way back."""
    sides.make_database("carried")
    rows = "".join(f"INSERT INTO {table} {values};" for table, values in VALUES.items())
    sides.both(f"{TABLES} {rows}", "carried")
    before = identities(sides)
    told = {table.table: table.why_not for table in coverage.tables(sides.new.postgres, "carried", [], 17)}
    assert set(told) == set(VALUES)
    assert {name for name, why in told.items() if why} == set(NOT_CARRIED)
    assert all(words in told[name] for name, words in NOT_CARRIED.items())
    ahead = way_back.ahead(sides.old.postgres, [], 17)["notCovered"]
    assert {one.split()[1].removeprefix("public.") for one in ahead} == set(NOT_CARRIED)
    subscriber = follow(sides)
    try:
        for name in VALUES:
            sides.new.sql(
                f"UPDATE {name} SET c = 'changed'; DELETE FROM {name} WHERE ctid = (SELECT min(ctid) FROM {name})",
                "carried",
            )
        held = {
            name: sides.new.sql(f"SELECT json_agg(one ORDER BY one::text) FROM {name} one", "carried")
            for name in VALUES
        }
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(
            sides.old.sql(f"SELECT json_agg(one ORDER BY one::text) FROM {name} one", "carried") != held[name]
            for name in set(VALUES) - set(NOT_CARRIED)
        ):
            assert all(one["enabled"] for one in subscriber.found().values())
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        subscriber.drop()
        publisher.take_away(sides.new.postgres)
    # An index that is there no more can be nobody's identity again.
    assert identities(sides) == before.replace("lost_indexi", "lost_indexd")
    sides.both("DROP DATABASE carried")


def found_in(sides: Sides, columns: str, version: int = 17) -> coverage.Table:
    sides.new.sql(f"DROP TABLE IF EXISTS one; CREATE TABLE one ({columns})", "shop")
    (table,) = coverage.tables(sides.new.postgres, "shop", [], version)
    return table


@pytest.mark.parametrize(
    ("columns", "loose"),
    [
        ("n numeric", "numeric"),
        ("n numeric(10, 2)", ""),
        ("n numeric[]", "numeric"),
        ("n money_", "numeric"),
        ("n pair", "double precision"),
        ("n numrange", "numeric"),
        ("n nummultirange", "numeric"),
        ("f real, g double precision", "double precision, real"),
        ("i interval", "interval"),
        ("j jsonb", "jsonb"),
        ("w text COLLATE blind", "text COLLATE blind"),
        ("w varchar(9)[] COLLATE blind", "character varying COLLATE blind"),
        ("c bpchar", "character"),
        ("c citext_", "public.citext_"),
        ("a int, b text, c char(3), d date, e timestamptz, f uuid, g boolean, h bytea, i varchar, j mood, k inet, l name, m int8range, n oid",
         ""),
        ("n numeric PRIMARY KEY", ""),
    ],
)  # fmt: skip
def test_values_that_are_equal_and_not_the_same(sides: Sides, columns: str, loose: str) -> None:
    """Without a key another row than the one on DB_A gets the update, and what was in it is gone: row counts stay equal."""
    sides.new.sql(
        """DROP TABLE IF EXISTS one; DROP TYPE IF EXISTS pair, mood CASCADE; DROP DOMAIN IF EXISTS money_; DROP TYPE IF EXISTS citext_ CASCADE;
        DROP COLLATION IF EXISTS blind; CREATE TYPE pair AS (f float8, d date); CREATE TYPE mood AS ENUM ('a');
        CREATE DOMAIN money_ AS numeric; CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TYPE citext_; CREATE FUNCTION citext_in(cstring) RETURNS citext_ LANGUAGE internal IMMUTABLE STRICT AS 'textin';
        CREATE FUNCTION citext_out(citext_) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
        CREATE TYPE citext_ (INPUT = citext_in, OUTPUT = citext_out, LIKE = text); CREATE CAST (citext_ AS text) WITHOUT FUNCTION AS IMPLICIT;
        CREATE FUNCTION citext_cmp(citext_, citext_) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT bttextcmp(lower($1), lower($2))';
        CREATE FUNCTION citext_eq(citext_, citext_) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT lower($1) = lower($2)';
        CREATE OPERATOR = (FUNCTION = citext_eq, LEFTARG = citext_, RIGHTARG = citext_);
        CREATE OPERATOR CLASS citext_ops_ DEFAULT FOR TYPE citext_ USING btree AS OPERATOR 3 =, FUNCTION 1 citext_cmp(citext_, citext_)""",
        "shop",
    )
    table = found_in(sides, columns)
    assert (table.why_not, table.loose) == ("", loose)
    assert table.has_key is ("PRIMARY" in columns)


@pytest.mark.parametrize(
    ("more", "why_not", "sets"),
    [
        ("", "18 would refuse to update it", "f"),
        ("; ALTER TABLE one ADD PRIMARY KEY (a)", "", ""),
        ("; ALTER TABLE one ADD PRIMARY KEY (a); ALTER TABLE one REPLICA IDENTITY FULL", "", "d"),
        ("; ALTER TABLE one ADD PRIMARY KEY (a); ALTER TABLE one REPLICA IDENTITY NOTHING", "", "d"),
    ],
)
def test_generated_columns_from_18_on(sides: Sides, more: str, why_not: str, sets: str) -> None:
    """A published table with FULL and a generated column refuses UPDATE and DELETE there: clients' statements would fail after cutover."""
    sides.new.sql(
        f"DROP TABLE IF EXISTS one; CREATE TABLE one (a int, b int GENERATED ALWAYS AS (a * 2) STORED){more}", "shop"
    )
    (table,) = coverage.tables(sides.new.postgres, "shop", [], 18)
    assert why_not in table.why_not
    assert bool(why_not) is bool(table.why_not)
    assert table.sets == sets
    assert coverage.tables(sides.new.postgres, "shop", [], 17)[0].why_not == ""


def test_databases_with_large_objects_are_told_ahead(sides: Sides) -> None:
    """They were noticed on DB_A once they had been written, when the only way back was one that lost them."""
    sides.both(
        "DROP TABLE IF EXISTS one; CREATE UNLOGGED TABLE cache (id int); SELECT lo_from_bytea(4711, 'x')", "shop"
    )
    # From 15 on an unlogged table's own sequence is unlogged too.
    sides.both("ALTER TABLE cache ADD n int GENERATED ALWAYS AS IDENTITY; CREATE SEQUENCE logged", "shop")
    unlogged = "UNLOGGED" if sides.old.postgres.cluster.version >= 15 else ""
    sides.both(f'CREATE {unlogged} SEQUENCE "It"', "shop")
    try:
        assert way_back.ahead(sides.old.postgres, [], 17)["notCovered"] == [
            "shop: public.cache (it is unlogged)",
            *(['shop: the sequence public."It" (it is unlogged: on DB_A it starts anew)'] if unlogged else []),
            "shop: large objects (the stream does not carry what is written to them)",
        ]
    finally:
        sides.both('DROP TABLE cache; DROP SEQUENCE "It", logged; SELECT lo_unlink(4711)', "shop")


def test_sequences_that_start_anew_on_db_a_are_not_brought_back(sides: Sides) -> None:
    """The old primary's unlogged table has its rows still, and the next one got a number that one of them has."""
    if sides.old.postgres.cluster.version < 15:
        pytest.skip("no unlogged sequences before 15")
    sides.both("CREATE UNLOGGED TABLE cache (id serial PRIMARY KEY); CREATE SEQUENCE kept", "shop")
    try:
        text = sides.new.postgres.execute(sequences.READ, "shop")
        assert [name.name for name in sequences.parsed(text) if name.name in ("kept", "cache_id_seq")] == ["kept"]
    finally:
        sides.both("DROP TABLE cache; DROP SEQUENCE kept", "shop")


def test_what_is_set_on_db_a_is_told(sides: Sides) -> None:
    """A setting that saved the day on DB_A was gone on the way back, and the day's trouble with the night's."""
    new = sides.new.postgres
    before = {"work_mem": "65536", "random_page_cost": "2"}
    new.server.write_json(
        configuration.CARRIED_FILE, {"by_file": {}, "by_alter_system": before, "hba": "", "ident": ""}
    )
    new.server.write_json(publisher.BASELINE_FILE, {})
    for name, value in {**before, "autovacuum": "on", "synchronous_standby_names": ""}.items():
        sides.new.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    try:
        assert way_back.seen_on_target(new, [], 2)["notCovered"] == []
        sides.new.sql("ALTER SYSTEM SET work_mem = '1GB'")
        sides.new.sql("ALTER SYSTEM SET jit = off")
        assert way_back.seen_on_target(new, [], 2)["notCovered"] == [
            "jit = 'off', which was set by ALTER SYSTEM on DB_A, and not on the old primary",
            "work_mem = '1GB', which was set by ALTER SYSTEM on DB_A, and not on the old primary",
        ]
    finally:
        sides.new.sql("ALTER SYSTEM RESET ALL")


REPLICA_TRIGGERS = """
CREATE TABLE counted (id int PRIMARY KEY, v text, seen int DEFAULT 0);
CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.seen := coalesce(NEW.seen, 0) + 1; RETURN NEW; END$$;
CREATE TRIGGER bump BEFORE INSERT OR UPDATE ON counted FOR EACH ROW EXECUTE FUNCTION bump(); ALTER TABLE counted ENABLE ALWAYS TRIGGER bump;
CREATE TABLE audit (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text); CREATE TABLE "Audited" (id int PRIMARY KEY, v text);
CREATE FUNCTION audit_it() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO audit(what) VALUES (TG_OP); RETURN NEW; END$$;
CREATE TRIGGER "Odd 'name'" AFTER INSERT ON "Audited" FOR EACH ROW EXECUTE FUNCTION audit_it();
ALTER TABLE "Audited" ENABLE ALWAYS TRIGGER "Odd 'name'";
CREATE TABLE on_replica (id int PRIMARY KEY, v text); CREATE TRIGGER r AFTER INSERT ON on_replica FOR EACH ROW EXECUTE FUNCTION audit_it();
ALTER TABLE on_replica ENABLE REPLICA TRIGGER r;
CREATE TABLE ranged (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE ranged1 PARTITION OF ranged FOR VALUES FROM (0) TO (9);
CREATE TRIGGER p AFTER INSERT ON ranged FOR EACH ROW EXECUTE FUNCTION audit_it(); ALTER TABLE ranged ENABLE ALWAYS TRIGGER p;
"""
ENABLED = "SELECT string_agg(tgname || tgenabled::text, ' ' ORDER BY oid) FROM pg_trigger WHERE NOT tgisinternal"


def test_triggers_that_fire_for_replicas_fire_once(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """What such a trigger did on DB_A comes along; done once more on the old primary it is there twice, or stops the database."""
    monkeypatch.setattr(replica_triggers, "PATIENCE_SECONDS", 1.0)
    sides.make_database("fires")
    for side in (sides.old, sides.new):
        side.database.sql(REPLICA_TRIGGERS, "fires")
    before = sides.old.database.sql(ENABLED, "fires")
    subscriber = follow(sides)
    tables = ("counted", "audit", '"Audited"', "on_replica", "ranged")

    def held(side: Side) -> list[str]:
        return [
            side.database.sql(f"SELECT json_agg(one ORDER BY one::text) FROM {table} one", "fires") for table in tables
        ]

    try:
        sides.new.database.sql(
            """INSERT INTO counted VALUES (1); UPDATE counted SET v = 'x'; INSERT INTO "Audited" VALUES (1); INSERT INTO on_replica VALUES (1);
            INSERT INTO ranged VALUES (1)""",
            "fires",
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while held(sides.old) != held(sides.new):
            assert all(row["enabled"] for row in subscriber.found().values())
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert subscriber.subscribe() == []
        # As the old primary's own clients see them: ALWAYS fires, REPLICA does not.
        sides.old.database.sql("INSERT INTO counted VALUES (2); INSERT INTO on_replica VALUES (2)", "fires")
        assert sides.old.database.sql("SELECT seen FROM counted WHERE id = 2", "fires") == "1\n"
    finally:
        subscriber.drop()
        publisher.take_away(sides.new.postgres)
    # A client has one of the tables: nobody waits behind pgleap, and the others are as before.
    with busy(sides.old, "fires", "LOCK counted IN ROW EXCLUSIVE MODE"):
        told = replica_triggers.as_before(sides.old.postgres)
        assert any("counted" in one and "pulumi config set round <one higher> && pulumi up" in one for one in told)
    assert replica_triggers.as_before(sides.old.postgres) == ["triggers of fires fire as before"]
    assert replica_triggers.as_before(sides.old.postgres) == []
    assert sides.old.database.sql(ENABLED, "fires") == before
