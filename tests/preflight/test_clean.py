"""An ordinary fleet's databases: nothing is refused there, and nothing warned of."""

from __future__ import annotations

import pytest

from agent.checks import catalogue
from agent.checks.check import Severity, Side
from tests.preflight.databases import BINARIES, Database
from tests.preflight.standbys import until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
# Of an old primary alone in a test nobody streams, and no other server listens.
ELSEWHERE = ("streaming", "ports")
# What the application says is seen where pg_stat_statements is preloaded, and it is not here.
NOT_LOADED = ("standby-reads", "read-write-statements")


def test_an_ordinary_database(database: Database) -> None:
    """A person who has to accept a dozen findings that mean nothing accepts the thirteenth, which does."""
    database.sql(
        """CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_trgm; CREATE EXTENSION hstore; CREATE ROLE shop LOGIN PASSWORD 'x';
        CREATE TABLE orders (id bigserial PRIMARY KEY, placed timestamptz DEFAULT now(), tags hstore, body jsonb) PARTITION BY HASH (id);
        CREATE TABLE orders_0 PARTITION OF orders FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        CREATE TABLE events (at timestamptz, what text); CREATE UNLOGGED TABLE cache (key text PRIMARY KEY);
        CREATE INDEX by_words ON events USING gin (what gin_trgm_ops); CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM orders;
        CREATE VIEW slow AS SELECT * FROM pg_stat_statements; INSERT INTO orders (tags) SELECT 'a=>1' FROM generate_series(1, 50);
        SELECT lo_create(0); SELECT pg_create_physical_replication_slot('db2', true); CREATE PUBLICATION once FOR TABLE orders;
        CREATE TABLE places (id int PRIMARY KEY); ALTER EXTENSION hstore ADD TABLE places; ALTER SYSTEM SET statement_timeout = '30s';
        SELECT pg_reload_conf()"""
    )
    until(database, "SELECT setting = '30000' FROM pg_settings WHERE name = 'statement_timeout'")
    told = {
        check.name.value: result.unseen or result.found
        for check in catalogue.of(Side.OLD_PRIMARY)
        if check.severity is not Severity.NOTE and check.name.value not in ELSEWHERE
        for result in [database.look(check.name, side="old primary", replicas={"db2": "127.0.0.2"})]
        if result.found or (result.unseen and check.name.value not in NOT_LOADED)
    }
    assert told == {}
    database.sql(
        """ALTER SYSTEM RESET statement_timeout; SELECT pg_reload_conf(); ALTER EXTENSION hstore DROP TABLE places; DROP TABLE places;
        DROP PUBLICATION once; SELECT pg_drop_replication_slot('db2'); DROP VIEW slow; DROP MATERIALIZED VIEW totals; DROP TABLE orders, events, cache;
        DROP EXTENSION pg_stat_statements, pg_trgm, hstore; DROP ROLE shop; SELECT lo_unlink(oid) FROM pg_largeobject_metadata"""
    )
