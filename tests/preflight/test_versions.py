"""That each server is what the stack calls it, and has what the steps call."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.check_names import CheckName
from agent.checks import versions
from tests.preflight.databases import BINARIES, Database
from tests.preflight.places import desired, look, program

needs_postgres = pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")


@pytest.mark.postgres
@needs_postgres
def test_another_version_than_the_stack_says(database: Database) -> None:
    """A stack that names the wrong version would otherwise fail in prepare at best, by a path that is not there."""
    later = {**database.desired()["newPostgres"], "version": database.desired()["postgres"]["version"] + 1}
    assert database.found(CheckName.VERSIONS, newPostgres=later) == []
    wrong = {**database.desired()["postgres"], "version": 12}
    (found,) = database.found(CheckName.VERSIONS, postgres=wrong, newPostgres=later)
    assert found.endswith("runs here, and the stack's old version is 12")
    same = {**database.desired()["newPostgres"], "version": database.desired()["postgres"]["version"]}
    (found,) = database.found(CheckName.VERSIONS, newPostgres=same)
    assert "is not later than its old one" in found


@pytest.mark.postgres
@needs_postgres
def test_a_package_that_came_without_a_restart(database: Database, tmp_path: Path) -> None:
    """A crash in the window would start another minor version than the one that was rehearsed."""
    assert database.found(CheckName.MINOR_VERSIONS) == []
    for link in database.bin.iterdir():
        (tmp_path / link.name).symlink_to(link)
    (tmp_path / "postgres").unlink()
    program(tmp_path / "postgres", "echo 'postgres (PostgreSQL) 15.99 (Debian 15.99-1)'")
    newer = {**database.desired()["postgres"], "bin": str(tmp_path)}
    (found,) = database.found(CheckName.MINOR_VERSIONS, postgres=newer)
    assert "runs, and 15.99 is installed since" in found


@pytest.mark.postgres
@needs_postgres
def test_a_replica_that_is_a_primary(database: Database) -> None:
    """DB_B, promoted by somebody last month, would serve reads of last month."""
    assert database.found(CheckName.ROLES, side="old primary") == []
    assert database.found(CheckName.ROLES, side="old replica") == ["db1 is a primary, not a replica"]


def test_programs_that_are_missing(tmp_path: Path) -> None:
    """PostgreSQL installed without its server's programs is found when pg_upgrade calls them: in the window."""
    for version, names in ((15, versions.OF_THE_OLD), (17, versions.OF_THE_NEW)):
        for name in names:
            program(tmp_path / f"{version}/bin/{name}", f"echo 'postgres (PostgreSQL) {version}.1'")
    assert look(CheckName.BINARIES, desired(tmp_path)).found == []
    (tmp_path / "17/bin/pg_upgrade").unlink()
    (tmp_path / "17/bin/vacuumdb").unlink()
    program(tmp_path / "15/bin/postgres", "echo 'postgres (PostgreSQL) 14.2'")
    result = look(CheckName.BINARIES, desired(tmp_path))
    assert result.found == [
        f"{tmp_path}/17/bin has no pg_upgrade, vacuumdb",
        f"{tmp_path}/15/bin/postgres is 14.2, not 15",
    ]
    replica = look(CheckName.BINARIES, desired(tmp_path, side="new replica"))
    assert replica.found == [f"{tmp_path}/17/bin has no pg_basebackup"]


def test_debian_s_own_programs(tmp_path: Path) -> None:
    """On Debian clusters are made by postgresql-common; PostgreSQL from elsewhere does without it."""
    asked = desired(tmp_path)
    asked["newPostgres"]["layout"] = "debian"
    result = look(CheckName.BINARIES, asked, root=tmp_path / "empty")
    assert "there is no /usr/bin/pg_createcluster" in result.found
