"""Extensions against what the new version's packages brought, on a PostgreSQL server of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.check_names import CheckName
from agent.checks import extensions, upgrade_target
from agent.checks.extensions import Available, available
from tests.preflight.databases import BINARIES, Database

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The new version's share folder, as the test fills it; and the test's server counts as a standby."""
    folder = tmp_path / "share"
    (folder / "extension").mkdir(parents=True)
    monkeypatch.setattr(extensions, "must_be_standby", lambda sight: None)
    monkeypatch.setattr(upgrade_target, "_from_pg_config", lambda sight, what: str(folder))
    _brings(folder, "plpgsql", "1.0")
    return folder


def _brings(share: Path, name: str, default: str, *scripts: str) -> None:
    (share / "extension" / f"{name}.control").write_text(f"comment = 'x'\ndefault_version = '{default}'\n")
    for script in scripts:
        (share / "extension" / f"{name}--{script}.sql").write_text("")


@pytest.fixture
def hstore(database: Database) -> object:
    database.sql("CREATE EXTENSION hstore VERSION '1.8'")
    yield
    database.sql("DROP EXTENSION hstore")


def test_one_that_the_new_version_has_not(database: Database, share: Path, hstore: object) -> None:
    """Not noticed, pg_upgrade fails once writes are refused."""
    (found,) = database.found(CheckName.EXTENSIONS_MISSING)
    assert found == f"hstore 1.8 (in postgres): no hstore.control in {share}/extension"
    _brings(share, "hstore", "1.8")
    assert database.found(CheckName.EXTENSIONS_MISSING) == []


def test_one_in_the_template_counts(database: Database, share: Path) -> None:
    """pg_upgrade carries template1 over like any database; clients never see what is in it."""
    database.sql("CREATE EXTENSION hstore", "template1")
    (found,) = database.found(CheckName.EXTENSIONS_MISSING)
    assert "(in template1)" in found
    database.sql("DROP EXTENSION hstore", "template1")
    assert database.found(CheckName.EXTENSIONS_MISSING) == []


def test_updates_and_those_that_cannot_be(database: Database, share: Path, hstore: object) -> None:
    """An update without a script stops the upgrade after pg_upgrade, with DB_A sealed and writes refused."""
    _brings(share, "hstore", "1.8")
    assert database.found(CheckName.EXTENSION_UPDATES) == database.found(CheckName.EXTENSION_PATHS) == []
    _brings(share, "hstore", "2.0", "1.8--1.9", "1.9--2.0")
    assert database.found(CheckName.EXTENSION_UPDATES) == ["hstore 1.8 -> 2.0 (in postgres)"]
    assert database.found(CheckName.EXTENSION_PATHS) == []
    (share / "extension/hstore--1.9--2.0.sql").unlink()
    assert database.found(CheckName.EXTENSION_UPDATES) == []
    assert database.found(CheckName.EXTENSION_PATHS) == ["hstore 1.8 -> 2.0 (in postgres)"]


@pytest.mark.skipif(len(BINARIES) < 2, reason="only one version of PostgreSQL here")
def test_what_the_packages_really_brought(database: Database, hstore: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual fleet is not refused."""
    monkeypatch.setattr(extensions, "must_be_standby", lambda sight: None)
    for name in (CheckName.EXTENSIONS_MISSING, CheckName.EXTENSION_PATHS):
        assert database.found(name) == []


def test_not_seen_before_there_is_a_standby(database: Database) -> None:
    """A primary that happens to run on DB_A must not pass for the standby whose extensions were compared."""
    for name in (CheckName.EXTENSIONS_MISSING, CheckName.EXTENSION_UPDATES, CheckName.EXTENSION_PATHS):
        result = database.look(name)
        assert result.unseen is not None and "no standby" in result.unseen


def test_gone_from_contrib(database: Database) -> None:
    """Found on the old primary, ahead of `prepare`: nothing of the new version is needed for it."""
    old, new = database.desired()["postgres"], database.desired()["newPostgres"]
    database.sql("CREATE EXTENSION old_snapshot")
    (found,) = database.found(CheckName.EXTENSION_BREAKS, newPostgres={**new, "version": 17})
    assert found == "old_snapshot (in postgres): PostgreSQL 17 has it no more"
    assert database.found(CheckName.EXTENSION_BREAKS, newPostgres={**new, "version": 16}) == []
    database.sql("DROP EXTENSION old_snapshot")
    assert database.found(CheckName.EXTENSION_BREAKS, postgres={**old, "version": 15}) == []


def test_those_that_want_something_first(database: Database) -> None:
    """Third-party extensions cannot be installed here, so their rows are planted in the catalogue."""
    assert database.found(CheckName.EXTENSION_FIRST) == []
    row = "({}, '{}', 10, 2200, false, '{}')"
    planted = [row.format(60001, "pg_repack", "1.4.8"), row.format(60002, "postgis", "2.5.5")]
    columns = "oid, extname, extowner, extnamespace, extrelocatable, extversion"
    database.sql(f"SET allow_system_table_mods = on; INSERT INTO pg_extension ({columns}) VALUES {', '.join(planted)}")
    first, second = database.found(CheckName.EXTENSION_FIRST)
    assert first.startswith("pg_repack (in postgres): drop it") and second.startswith("postgis 2.5.5")
    database.sql("SET allow_system_table_mods = on; UPDATE pg_extension SET extversion = '3.3.2' WHERE oid = 60002")
    assert len(database.found(CheckName.EXTENSION_FIRST)) == 1
    database.sql("SET allow_system_table_mods = on; DELETE FROM pg_extension WHERE oid IN (60001, 60002)")


def test_an_update_under_a_view_does_fail(database: Database) -> None:
    """What EXTENSION_DEPENDENTS rests on, seen with an update that this version's own scripts have."""
    database.sql(
        "CREATE EXTENSION pg_stat_statements VERSION '1.9'; CREATE VIEW slow AS SELECT * FROM pg_stat_statements"
    )
    with pytest.raises(AssertionError, match="other objects depend on it"):
        database.sql("ALTER EXTENSION pg_stat_statements UPDATE TO '1.10'")
    database.sql(
        "DROP VIEW slow; ALTER EXTENSION pg_stat_statements UPDATE TO '1.10'; DROP EXTENSION pg_stat_statements"
    )


def test_paths_through_any() -> None:
    """PostGIS leads every version over one that is called ANY."""
    one, two, three = Path("1"), Path("2"), Path("3")
    assert Available("3.5", {("3.3", "ANY"): one, ("ANY", "3.5"): two}).path("3.3") == [one, two]
    assert Available("3.5", {("3", "4"): one, ("4", "3.5"): two, ("3", "3.5"): three}).path("3") == [three]
    assert Available("3.5", {("3.4", "3.5"): one, ("3.5", "3.6"): two}).path("3.3") is None
    assert Available("3.5", {}).path("3.5") == []


def test_scripts_in_a_folder_of_their_own(tmp_path: Path) -> None:
    """Scripts looked for in the wrong folder would make every update look impossible."""
    for folder in ("extension", "own"):
        (tmp_path / folder).mkdir()
    (tmp_path / "extension" / "some.control").write_text("default_version = '2'\ndirectory = 'own'\n")
    script = tmp_path / "own" / "some--1--2.sql"
    script.write_text("")
    assert available(tmp_path, ["some", "none"]) == {"some": Available("2", {("1", "2"): script})}
