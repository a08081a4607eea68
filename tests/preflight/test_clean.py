"""An ordinary fleet's databases: nothing is refused there, and nothing warned of."""

from __future__ import annotations

import pytest

from agent.checks import collations, company, extensions, objects, reverse
from agent.checks.check import Severity, Side
from tests.preflight.databases import BINARIES, Database

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
CHECKS = (*objects.CHECKS, *extensions.CHECKS, *collations.CHECKS, *company.CHECKS, *reverse.CHECKS)


def test_an_ordinary_database(database: Database) -> None:
    """A person who has to accept a dozen findings that mean nothing accepts the thirteenth, which does."""
    database.sql(
        """CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_trgm; CREATE EXTENSION hstore; CREATE ROLE shop LOGIN PASSWORD 'x';
        CREATE TABLE orders (id bigserial PRIMARY KEY, placed timestamptz DEFAULT now(), tags hstore, body jsonb) PARTITION BY HASH (id);
        CREATE TABLE orders_0 PARTITION OF orders FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        CREATE TABLE events (at timestamptz, what text); CREATE UNLOGGED TABLE cache (key text PRIMARY KEY);
        CREATE INDEX by_words ON events USING gin (what gin_trgm_ops); CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM orders;
        CREATE VIEW slow AS SELECT * FROM pg_stat_statements; INSERT INTO orders (tags) SELECT 'a=>1' FROM generate_series(1, 50);
        SELECT lo_create(0); SELECT pg_create_physical_replication_slot('db2', true)"""
    )
    told = {
        check.name.value: result.unseen or result.found
        for check in CHECKS
        if Side.OLD_PRIMARY in check.sides and check.severity is not Severity.NOTE
        for result in [database.look(check.name, side="old primary", replicas={"db2": "127.0.0.2"})]
        if result.found or result.unseen
    }
    assert told == {}
    database.sql(
        """SELECT pg_drop_replication_slot('db2'); DROP VIEW slow; DROP MATERIALIZED VIEW totals; DROP TABLE orders, events, cache;
        DROP EXTENSION pg_stat_statements, pg_trgm, hstore; DROP ROLE shop; SELECT lo_unlink(oid) FROM pg_largeobject_metadata"""
    )
