"""What pg_upgrade cannot change."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.check_names import CheckName
from agent.checks import build
from agent.checks.sight import Sight
from agent.server import Server
from tests.preflight.databases import BINARIES, Database, running
from tests.preflight.places import desired, look, program

needs_postgres = pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")


def test_binaries_built_otherwise(tmp_path: Path) -> None:
    """Packages of two sources, one with other blocks: pg_upgrade would refuse when writes are refused already."""
    program(tmp_path / "15/bin/postgres", "echo 8192")
    assert look(CheckName.BUILD, desired(tmp_path)).unseen is not None  # 17 is not there
    program(tmp_path / "17/bin/postgres", '[ "$2" = block_size ] && echo 16384 || echo 8192')
    assert look(CheckName.BUILD, desired(tmp_path)).found == [
        f"block_size is 8192 in {tmp_path}/15/bin, and 16384 in {tmp_path}/17/bin"
    ]


@pytest.mark.postgres
@needs_postgres
def test_binaries_built_alike(database: Database) -> None:
    """Debian's packages are; and the binaries do answer, or two silences would look alike."""
    assert database.found(CheckName.BUILD) == []
    with Sight(database.desired(), Server()) as sight:
        assert build.built(sight, sight.old, "block_size") == "8192"


@pytest.mark.postgres
@needs_postgres
def test_a_running_server_says_what_its_binary_does(database: Database) -> None:
    """The one is asked in the place of the other: in another unit every fleet would look built otherwise."""
    with database.sight() as sight:
        settings = sight.settings()
        assert {name: settings[name] for name in build.BUILT_IN} == {
            name: build.built(sight, sight.old, name) for name in build.BUILT_IN
        }


@pytest.mark.postgres
@needs_postgres
def test_checksums_and_encodings(database: Database) -> None:
    """Whoever believes that 18 brings checksums would run for years without."""
    (found,) = database.found(CheckName.CHECKSUMS)
    assert found.startswith("the cluster has no data checksums")
    assert database.found(CheckName.ENCODINGS) == []
    database.sql("CREATE DATABASE raw ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        assert database.found(CheckName.ENCODINGS) == [
            "raw is in SQL_ASCII: bytes that no encoding vouches for",
            "raw is not like template0: encoding SQL_ASCII instead of UTF8, LC_COLLATE C instead of C.UTF-8, LC_CTYPE C instead of C.UTF-8",
        ]
    finally:
        database.sql("DROP DATABASE raw")
    folder = database.folder / "checked"
    folder.mkdir()
    with running(folder, initdb=["--data-checksums"]) as checked:
        assert checked.found(CheckName.CHECKSUMS) == []
