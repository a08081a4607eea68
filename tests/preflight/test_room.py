"""Room on disks and in memory."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.check_names import CheckName
from agent.checks import room
from agent.checks.sight import Sight
from tests.preflight.databases import BINARIES, Database
from tests.preflight.places import desired, look
from tests.preflight.standbys import set_to

MEMORY = Path("/dev/shm")
needs_postgres = pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
needs_two_disks = pytest.mark.skipif(
    not MEMORY.is_dir() or MEMORY.stat().st_dev == Path("/tmp").stat().st_dev, reason="no other file system at /dev/shm"
)


@pytest.mark.postgres
@needs_postgres
def test_disks(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old primary stops when its disk is full, for everybody; DB_A's is full when pg_upgrade runs, with writes refused."""
    assert database.found(CheckName.DISK) == []
    assert database.found(CheckName.DISK, side="DB_A") == []
    assert "in prepare" in str(database.look(CheckName.DISK, phase="readonly").unseen)
    set_to(database, max_wal_size="1000TB")
    try:
        (held,) = database.found(CheckName.DISK)
        assert held.startswith(f"{database.data}/pg_wal: ") and "max_wal_size 1000.0 TB + " in held
        (upgrade,) = database.found(CheckName.DISK, side="DB_A", phase="readonly")
        assert upgrade.startswith(f"{database.folder}/new: ") and "a copy of" not in upgrade
        (copied,) = database.found(CheckName.DISK, side="DB_A", phase="readonly", transferMode="copy")
        assert " + a copy of " in copied
    finally:
        set_to(database, ALL=None)
    if room.free(database.folder).inodes is None:
        return  # there can never be too few
    monkeypatch.setattr(room, "FILES_OF_A_DATABASE", 10**12)
    (inodes,) = database.found(CheckName.DISK, side="DB_A")
    assert inodes.endswith("inodes are free, about 4000000000000 may be needed")


@pytest.mark.postgres
@needs_postgres
def test_wal_that_a_base_backup_holds_back(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy database writes its disk full while it is copied slowly; a limit for slots keeps it from that."""
    monkeypatch.setattr(room, "COPY_BYTES_A_SECOND", 1e-9)
    if int(database.bin.parent.name) < 14:
        pytest.skip("WAL is counted from version 14 on")
    (found,) = database.found(CheckName.DISK)
    assert "that are written while" in found
    set_to(database, max_slot_wal_keep_size="1MB")
    try:
        assert database.found(CheckName.DISK) == []
    finally:
        set_to(database, ALL=None)


@needs_two_disks
def test_two_file_systems(tmp_path: Path) -> None:
    """pg_upgrade --link fails between two disks, after DB_A has been promoted."""
    asked = desired(tmp_path)
    assert look(CheckName.SAME_FILESYSTEM, asked).found == []
    asked["newPostgres"]["data"] = "/dev/shm/no-such-folder/17/data"
    (found,) = look(CheckName.SAME_FILESYSTEM, asked).found
    assert found.startswith(f"{tmp_path}/15/data and /dev/shm/no-such-folder/17/data are on two file systems (")
    assert look(CheckName.SAME_FILESYSTEM, {**asked, "transferMode": "copy"}).found == []


def test_two_mounts_of_one_file_system(tmp_path: Path) -> None:
    """A bind mount has the same device number, and link() refuses it all the same."""
    asked, folder = desired(Path("/srv")), tmp_path / "srv"
    for version in (15, 17):
        (folder / str(version)).mkdir(parents=True)
    mounts = tmp_path / "proc/self/mountinfo"
    mounts.parent.mkdir(parents=True)
    whole = f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:1 / {folder} rw - ext4 /dev/a rw\n"
    mounts.write_text(whole)
    assert look(CheckName.SAME_FILESYSTEM, asked, root=tmp_path).found == []
    mounts.write_text(f"{whole}3 2 8:1 /x {folder}/17 rw - ext4 /dev/a rw\n")
    assert look(CheckName.SAME_FILESYSTEM, asked, root=tmp_path).found == [
        f"/srv/15/data and /srv/17/data are below two mounts ({folder}, {folder}/17)"
    ]


def test_reflinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_upgrade --clone fails on ext4 when writes are refused already; cp says the same of the same folder."""
    asked = desired(tmp_path, transferMode="clone")
    assert look(CheckName.REFLINKS, {**asked, "transferMode": "link"}).found == []
    one = tmp_path / "one"
    one.write_text("x")
    copied = subprocess.run(["cp", "--reflink=always", one, tmp_path / "other"], check=False, capture_output=True)
    before = sorted(tmp_path.iterdir())
    result = look(CheckName.REFLINKS, asked)
    assert sorted(tmp_path.iterdir()) == before
    assert result.unseen is None
    assert bool(result.found) == (copied.returncode != 0)
    if MEMORY.is_dir():
        asked["newPostgres"]["data"] = "/dev/shm/no-such-folder"
        (found,) = look(CheckName.REFLINKS, asked).found
        assert found.startswith("the file system of /dev/shm cannot clone files")
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: 0)  # what XFS answers
    assert look(CheckName.REFLINKS, asked).found == []


@pytest.mark.postgres
@needs_postgres
def test_memory(database: Database) -> None:
    """DB_B, sized for reports, is killed for want of memory as soon as it serves everybody's reads."""
    asked = {"side": "old replica", "isReadFrom": True}
    assert database.found(CheckName.MEMORY, **asked) == []
    set_to(database, work_mem="1TB")
    try:
        (found,) = database.found(CheckName.MEMORY, **asked)
        assert found.endswith(" sessions at work x work_mem 1.0 TB")
        assert database.found(CheckName.MEMORY, side="old replica", isReadFrom=False) == []
        assert database.found(CheckName.MEMORY, side="DB_A") == [found]
    finally:
        set_to(database, ALL=None)


def test_many_sessions_with_room_to_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 connections with a work_mem of 64 MB, on 16 GB, is what many a fleet has had for years: warned of, it hides the reports' server."""
    monkeypatch.setattr("agent.checks.room.os.sched_getaffinity", lambda _: set(range(8)))
    settings = {"shared_buffers": "524288", "block_size": "8192", "work_mem": "65536", "max_connections": "500"}
    sight: Any = SimpleNamespace(
        desired={"side": "DB_A"}, settings=lambda: settings, text=lambda _: "MemTotal:       16777216 kB\n"
    )
    assert room._memory(cast(Sight, sight)) == []
    settings["work_mem"] = "1048576"
    assert len(room._memory(cast(Sight, sight))) == 1


@pytest.mark.parametrize(("pages", "finds"), [(63, 1), (64, 0)])
def test_huge_pages(pages: int, finds: int) -> None:
    """With huge_pages = on and none set aside the new version does not start, right after pg_upgrade."""
    settings = {
        "shared_buffers": "16384",
        "block_size": "8192",
        "work_mem": "4096",
        "max_connections": "100",
        "huge_pages": "on",
    }
    told = f"MemTotal:       8388608 kB\nHugePages_Total:    {pages}\nHugepagesize:       2048 kB\n"
    sight: Any = SimpleNamespace(desired={"side": "DB_A"}, settings=lambda: settings, text=lambda _: told)
    assert len(room._memory(cast(Sight, sight))) == finds
