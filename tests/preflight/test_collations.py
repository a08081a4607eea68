"""Collations of another version than the indexes were built in, on a PostgreSQL server of the test's own.

Another version of ICU is not to be had beside the one that is here, so the version that was recorded is changed.
"""

from __future__ import annotations

import pytest

from agent.check_names import CheckName
from tests.preflight.databases import BINARIES, Database

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
MODS = "SET allow_system_table_mods = on;"


def test_a_collation_of_another_version(database: Database) -> None:
    """Its indexes miss rows on DB_A, without an error."""
    database.sql(
        """CREATE TABLE words (word text COLLATE "und-x-icu", plain text); CREATE INDEX by_word ON words (word); CREATE INDEX by_plain ON words (plain)"""
    )
    assert database.found(CheckName.COLLATION_VERSIONS) == []
    actual = database.sql("""SELECT collversion FROM pg_collation WHERE collname = 'und-x-icu'""").strip()
    database.sql(f"{MODS} UPDATE pg_collation SET collversion = '1.1' WHERE collname IN ('und-x-icu', 'de-x-icu')")
    assert database.found(CheckName.COLLATION_VERSIONS) == [
        f'postgres: "und-x-icu" was 1.1 and is {actual} here: 1 indexes with 8.0 kB, such as by_word'
    ]
    database.sql("DROP TABLE words")
    assert database.found(CheckName.COLLATION_VERSIONS) == []  # nothing is sorted by it
    database.sql(f"{MODS} UPDATE pg_collation SET collversion = '{actual}' WHERE collversion = '1.1'")


def test_a_database_of_another_version(database: Database) -> None:
    """Most indexes name no collation: they are sorted by the database's own."""
    database.sql("CREATE DATABASE words TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' STRATEGY file_copy")
    database.sql("CREATE TABLE words (word text PRIMARY KEY, n int); CREATE INDEX numbers ON words (n)", "words")
    assert database.found(CheckName.COLLATION_VERSIONS) == []
    database.sql(f"{MODS} UPDATE pg_database SET datcollversion = '1.1' WHERE datname = 'words'")
    (found,) = database.found(CheckName.COLLATION_VERSIONS)
    assert found.startswith("words: the database's own (") and "was 1.1 and is " in found
    assert found.endswith("1 indexes with 8.0 kB, such as words_pkey")
    before = {**database.desired()["postgres"], "version": 14}
    assert database.found(CheckName.COLLATION_VERSIONS, postgres=before) == []  # 14 keeps none of a database
    database.sql("DROP DATABASE words")
