"""What would get past the seal, or move the fence."""

from __future__ import annotations

import pytest

from agent.check_names import CheckName
from tests.preflight.databases import BINARIES, Database

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


def test_roles_with_their_own_read_only_setting(database: Database) -> None:
    """Such a role's sessions would not see the seal's read-only default, and fail by being ended instead."""
    database.sql("CREATE ROLE reporting; ALTER ROLE reporting SET default_transaction_read_only = on;")
    assert database.found(CheckName.READ_ONLY_SETTINGS) == []
    database.sql(
        "ALTER DATABASE postgres SET default_transaction_read_only = 'off';"
        "ALTER ROLE reporting IN DATABASE postgres SET default_transaction_read_only = false;"
        "ALTER ROLE reporting SET work_mem = '8MB';"
    )
    assert database.found(CheckName.READ_ONLY_SETTINGS) == [
        "the database postgres has default_transaction_read_only=off",
        "the role reporting in the database postgres has default_transaction_read_only=false",
    ]
    database.sql(
        "ALTER DATABASE postgres RESET ALL; ALTER ROLE reporting IN DATABASE postgres RESET ALL; DROP ROLE reporting;"
    )


def test_databases_near_the_freeze_limit(database: Database) -> None:
    """Autovacuum would start in the window though it is off: the fence would move, and DB_A not be promoted."""
    before = dict(database.settings)
    assert database.found(CheckName.FREEZE_AGE) == []
    database.restart(autovacuum="off", autovacuum_freeze_max_age="100000")  # the least there is
    try:
        assert database.found(CheckName.FREEZE_AGE) == []
        spend = "DO $$ BEGIN FOR i IN 1..96000 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$;"
        database.sql(spend)
        found = database.found(CheckName.FREEZE_AGE)
        assert any(line.startswith("postgres is ") and line.endswith("autovacuum starts at 100000") for line in found)
        for name in ("postgres", "template1"):
            database.run("vacuumdb", "--freeze", "-d", name)
        assert [line for line in database.found(CheckName.FREEZE_AGE) if not line.startswith("template0")] == []
    finally:
        database.restart(**before)
