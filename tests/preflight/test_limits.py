"""What a database or a role sets that pgleap's sessions cannot set aside."""

from __future__ import annotations

import pytest

from agent.check_names import CheckName
from tests.preflight.databases import BINARIES, Database

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


def test_databases_with_few_connections(database: Database) -> None:
    """A way back was refused after cutover, over a database that lets superusers in alone."""
    for limit in (0, 1, 2, 3, -1):
        database.sql(f'CREATE DATABASE "Limit {limit}" CONNECTION LIMIT {limit}')
    try:
        found = database.found(CheckName.CONNECTION_LIMITS)
        assert found == [f"Limit {limit} has CONNECTION LIMIT {limit}" for limit in (0, 1, 2)]
        without = {"enabled": False, "leaveOut": []}
        assert database.look(CheckName.CONNECTION_LIMITS, reverse=without).unseen is not None
    finally:
        for limit in (0, 1, 2, 3, -1):
            database.sql(f'DROP DATABASE "Limit {limit}"')


def test_settings_that_the_worker_begins_with(database: Database) -> None:
    """As another role the worker may not write; with array_nulls off NULL arrives as the word."""
    assert database.found(CheckName.SESSION_SETTINGS) == []
    database.sql(
        "CREATE ROLE app; CREATE DATABASE shop; ALTER DATABASE shop SET role = app; ALTER DATABASE shop SET array_nulls = off;"
        " ALTER DATABASE shop SET statement_timeout = '5s'; ALTER DATABASE shop SET search_path = app; ALTER ROLE app SET array_nulls = off;"
        " ALTER ROLE ALL SET xmloption = document"
    )
    try:
        assert database.found(CheckName.SESSION_SETTINGS) == [
            "everybody has xmloption=document",
            "the database shop has array_nulls=off",
            "the database shop has role=app",
        ]
    finally:
        database.sql("DROP DATABASE shop")
        database.sql("ALTER ROLE ALL RESET xmloption; DROP ROLE app")
