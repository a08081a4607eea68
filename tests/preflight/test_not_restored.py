"""What is told on the first day of what pg_upgrade cannot restore, or leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.check_names import CheckName
from tests.preflight.databases import BINARIES, Database

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    database.sql("CREATE DATABASE shop")
    yield database
    database.sql("DROP DATABASE shop WITH (FORCE)")


def test_what_lies_in_pg_catalog_and_is_no_part_of_it(shop: Database) -> None:
    """It is gone after the window, and nobody is told: no dump has it."""
    assert shop.found(CheckName.OWN_IN_PG_CATALOG) == []
    shop.sql(
        "CREATE FUNCTION pg_catalog.shop_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()';"
        "CREATE DOMAIN pg_catalog.money_like AS numeric;"
        "SET allow_system_table_mods = on; CREATE TABLE pg_catalog.notes (id int)",
        "shop",
    )
    assert shop.found(CheckName.OWN_IN_PG_CATALOG) == [
        "shop: function pg_catalog.shop_now()",
        "shop: table pg_catalog.notes",
        "shop: type pg_catalog.money_like",
    ]


def test_what_extensions_and_imports_put_there_is_no_finding(shop: Database) -> None:
    """An alarm over what arrives by itself is accepted unread, and with it the one that does not."""
    shop.sql(
        "SET allow_system_table_mods = on; CREATE EXTENSION pg_stat_statements SCHEMA pg_catalog; CREATE EXTENSION citext SCHEMA pg_catalog;"
        "SELECT pg_import_system_collations('pg_catalog'); CREATE OR REPLACE VIEW pg_catalog.pg_user AS"
        " SELECT usename, usesysid, usecreatedb, usesuper, userepl, usebypassrls, '********'::text AS passwd, valuntil, useconfig FROM pg_shadow",
        "shop",
    )
    assert shop.found(CheckName.OWN_IN_PG_CATALOG) == []


@pytest.mark.skipif(not BINARIES or int(BINARIES[0].parent.name) >= 16, reason="16 and later let no such table be made")
def test_a_generated_column_whose_parents_is_not(shop: Database) -> None:
    """PostgreSQL's own tests have two of them, and drop them by hand before they upgrade."""
    shop.sql(
        "CREATE TABLE parent (a int, b int); CREATE TABLE child1 (a int, b int GENERATED ALWAYS AS (a * 2) STORED) INHERITS (parent);"
        "CREATE TABLE child2 (a int, b int GENERATED ALWAYS AS (a * 3) STORED); ALTER TABLE child2 INHERIT parent;"
        "CREATE TABLE alike (a int, b int GENERATED ALWAYS AS (a * 2) STORED); CREATE TABLE of_alike () INHERITS (alike)",
        "shop",
    )
    places = shop.desired()["newPostgres"]
    found = ["shop: public.child1.b", "shop: public.child2.b"]
    assert shop.found(CheckName.GENERATED_CHILDREN, newPostgres={**places, "version": 17}) == found
    assert shop.found(CheckName.GENERATED_CHILDREN, newPostgres={**places, "version": 15}) == []
