"""What lies on the old primary's disks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from agent import amounts
from agent.check_names import CheckName
from agent.checks import facts
from agent.cluster import OS_USER
from scripts.forecast import words
from scripts.forecast.forecast import forecast
from tests.forecast.windows import shape
from tests.preflight.databases import BINARIES, Database

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


def given(path: Path, text: str | None = None) -> Path:
    """A folder, or a file, of the server's user."""
    if text is None:
        path.mkdir()
    else:
        path.write_text(text)
    if os.geteuid() == 0:
        shutil.chown(path, OS_USER, OS_USER)
    return path


def test_tablespaces(database: Database) -> None:
    """One inside the data directory goes when the old cluster is deleted; one on a disk of its own lands on DB_A's root disk."""
    outside, inside = given(database.folder / "outside"), given(database.data / "inside")
    database.sql(f"CREATE TABLESPACE \"it's\" LOCATION '{outside}'")
    assert database.found(CheckName.TABLESPACES) == []
    assert database.found(CheckName.TABLESPACE_DISKS) == []
    database.sql(f"CREATE TABLESPACE within LOCATION '{inside}'")
    assert database.found(CheckName.TABLESPACES) == [f"within is at {inside}, inside the data directory"]
    database.sql('DROP TABLESPACE within; DROP TABLESPACE "it\'s";')


def test_a_tablespace_on_another_disk(database: Database) -> None:
    """pgleap makes the folder on DB_A; what is mounted there it cannot know."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == database.folder.stat().st_dev:
        pytest.skip("no other file system at /dev/shm")
    elsewhere = given(memory / f"pgleap-test-{database.port}")
    try:
        database.sql(f"CREATE TABLESPACE elsewhere LOCATION '{elsewhere}'")
        (found,) = database.found(CheckName.TABLESPACE_DISKS)
        assert found.startswith(f"elsewhere is at {elsewhere}, ") and found.endswith(" on a disk of its own")
        database.sql("DROP TABLESPACE elsewhere")
    finally:
        shutil.rmtree(elsewhere)


def test_unlogged_tables(database: Database) -> None:
    """Every basket is empty after cutover, and no step ever failed."""
    database.sql("CREATE UNLOGGED TABLE empty (n int)")
    assert database.found(CheckName.UNLOGGED_TABLES) == []
    database.sql("CREATE UNLOGGED TABLE basket AS SELECT generate_series(1, 1000) AS n; ANALYZE basket;")
    (found,) = database.found(CheckName.UNLOGGED_TABLES)
    assert found.startswith("postgres: public.basket, ") and found.endswith(" kB, about 1000 rows")
    database.sql("DROP TABLE basket, empty")


def test_unlogged_sequences(database: Database) -> None:
    """Numbers that rows of a logged table have already are given out again on DB_A."""
    if database.desired()["postgres"]["version"] < 15:
        pytest.skip("there are none before 15")
    database.sql(
        "CREATE UNLOGGED SEQUENCE tickets; CREATE UNLOGGED TABLE basket (id serial); CREATE TABLE kept (id serial)"
    )
    assert database.found(CheckName.UNLOGGED_TABLES) == ["postgres: the sequence public.tickets, which starts anew"]
    database.sql("DROP SEQUENCE tickets; DROP TABLE basket, kept")


def test_amounts(database: Database) -> None:
    """A million large objects make pg_upgrade take an hour, with writes refused."""
    (before,) = database.found(CheckName.AMOUNTS)
    assert before.startswith("1 database and template1, ") and " 0 large objects, " in before
    database.sql("SELECT lo_create(0) FROM generate_series(1, 3)")
    database.sql("CREATE DATABASE second")
    (after,) = database.found(CheckName.AMOUNTS)
    assert after.startswith("2 databases and template1, ") and " 3 large objects, " in after
    database.sql("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    database.sql("DROP DATABASE second")


def test_one_fleet_is_counted_in_one_way(database: Database) -> None:
    """The forecast told of 9,535 relations in 17 databases where preflight told of 16,095 in 16: a person believes neither."""
    database.sql("CREATE TABLE here (id int PRIMARY KEY)")
    database.sql("CREATE TABLE there (id int PRIMARY KEY)", "template1")
    (told,) = database.found(CheckName.AMOUNTS)
    with database.sight(side="old primary") as sight:
        found = facts.seen(sight)
    counts = (found["databases"], found["relations"], found["largeObjects"])
    assert counts == (2, 4, 0)
    assert told.startswith(amounts.told(*counts))
    assert (
        f"For {amounts.told(*counts)}, "
        in words.rests_on(forecast([], shape(databases=2, relations=4, large_objects=0)))[0]
    )
    database.sql("DROP TABLE here")
    database.sql("DROP TABLE there", "template1")


def test_temporary_files(database: Database) -> None:
    """What a crash left is copied by nobody, and still fills the disk."""
    assert database.found(CheckName.TEMPORARY_FILES) == []
    folder = database.data / "base/pgsql_tmp"
    given(folder)
    left = given(folder / "pgsql_tmp4711.0", "x" * 2048)
    assert database.found(CheckName.TEMPORARY_FILES) == ["pg_default: 2.0 kB in 1 files"]
    left.unlink()
    folder.rmdir()


def test_orphaned_files(database: Database) -> None:
    """Gigabytes of a COPY that crashed are in every base backup; and what is young may be anybody's."""
    database.sql("CREATE TABLE kept AS SELECT generate_series(1, 100) AS n; VACUUM kept; CREATE INDEX ON kept (n);")
    folder = database.data / "base" / database.sql("SELECT oid FROM pg_database WHERE datname = 'postgres'").strip()
    for file in folder.iterdir():
        os.utime(file, (1, 1))  # so that only belonging to a relation keeps the others out
    assert database.found(CheckName.ORPHANED_FILES) == []
    lost, young = given(folder / "99998", "x" * 8192), given(folder / "99999.1", "x" * 8192)
    os.utime(lost, (1, 1))
    assert database.found(CheckName.ORPHANED_FILES) == ["postgres: 8.0 kB in 1 files, such as 99998"]
    lost.unlink()
    young.unlink()
    database.sql("DROP TABLE kept")
