"""What would make the fence late, on a PostgreSQL server of the test's own."""

from __future__ import annotations

import pytest

from agent.check_names import CheckName
from agent.checks import activity
from tests.preflight.databases import BINARIES, Database

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


def test_prepared_transactions(database: Database) -> None:
    assert database.found(CheckName.PREPARED_TRANSACTIONS) == []
    database.sql("BEGIN; CREATE TABLE prepared (); PREPARE TRANSACTION 'half done';")
    assert database.found(CheckName.PREPARED_TRANSACTIONS) == ["half done of postgres in postgres"]
    database.sql("ROLLBACK PREPARED 'half done';")
    assert database.found(CheckName.PREPARED_TRANSACTIONS) == []


def test_long_transactions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "LONG_SECONDS", 0)
    (mine,) = database.found(CheckName.LONG_TRANSACTIONS)  # the check's own is one
    assert mine.startswith("postgres in postgres")
    monkeypatch.setattr(activity, "LONG_SECONDS", 60)
    assert database.found(CheckName.LONG_TRANSACTIONS) == []
