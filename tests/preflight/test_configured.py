"""Rules and settings that pgleap could not write, or that are not in force."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from agent import client_rules
from agent.check_names import CheckName
from agent.checks import files
from tests.preflight.databases import BINARIES, Database, running
from tests.preflight.standbys import set_to

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
LATER = 1.1  # seconds: times of files are whole ones


def reload(database: Database) -> None:
    time.sleep(LATER)
    set_to(database)


def test_rules_that_lie_elsewhere(database: Database) -> None:
    """pgleap wrote a file that nobody reads, and refused with what made no sense."""
    before = dict(database.settings)
    elsewhere = database.folder / "site_hba.conf"
    shutil.copy(database.data / "pg_hba.conf", elsewhere)
    shutil.chown(elsewhere, "postgres")
    assert database.found(CheckName.RULE_FILES) == []
    database.restart(**before, hba_file=str(elsewhere))
    try:
        assert database.found(CheckName.RULE_FILES) == [
            f"hba_file is {elsewhere}, and pgleap writes {database.data}/pg_hba.conf"
        ]
        # A link to that place is the file that is read.
        own, kept = database.data / "pg_hba.conf", database.data / "pg_hba.kept"
        own.rename(kept)
        own.symlink_to(elsewhere)
        assert database.found(CheckName.RULE_FILES) == []
        own.unlink()
        kept.rename(own)
    finally:
        database.restart(**before)


def test_rules_that_cannot_be_written(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was a traceback, in prepare or with names that had moved."""
    monkeypatch.setattr(
        files, "_flags", lambda path: 0x10 if path.name in ("pg_hba.conf", "postgresql.auto.conf") else 0
    )
    assert database.found(CheckName.RULE_FILES) == [f"{database.data}/pg_hba.conf is immutable (lsattr shows i)"]
    assert database.found(CheckName.ALTER_SYSTEM) == [
        f"{database.data}/postgresql.auto.conf is immutable (lsattr shows i)"
    ]


def test_half_a_block(database: Database) -> None:
    """What is left of it may be a `reject` in force."""
    rules = database.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(client_rules.BEGIN + before)
    (found,) = database.found(CheckName.RULE_FILES)
    assert "a first line without a last one" in found
    rules.write_text(before)
    reload(database)


@pytest.mark.skipif(not BINARIES or int(BINARIES[-1].parent.name) < 17, reason="no PostgreSQL that can forbid it")
def test_alter_system_that_is_not_allowed(tmp_path: Path) -> None:
    """The seal failed on it after the hosts files had moved, and so did the way back."""
    with running(tmp_path, {"allow_alter_system": "off"}, binaries=BINARIES[-1]) as database:
        assert database.found(CheckName.ALTER_SYSTEM) == ["allow_alter_system is off"]
        assert database.found(CheckName.RULE_FILES) == database.found(CheckName.NOT_LOADED) == []
        database.restart()
        assert database.found(CheckName.ALTER_SYSTEM) == []


def test_files_that_were_edited_and_not_read(database: Database) -> None:
    """The seal's own reload would be the first to try them."""
    assert database.found(CheckName.NOT_LOADED) == []
    assert database.found(CheckName.PENDING_RESTART) == []
    rules, settings = database.data / "pg_hba.conf", database.data / "postgresql.conf"
    before = {file: file.read_text() for file in (rules, settings)}
    time.sleep(LATER)
    rules.write_text(f"{before[rules]}host all all 10.9.0.0/16 md5\n")
    settings.write_text(f"{before[settings]}max_wal_senders = 17\n")
    assert database.found(CheckName.NOT_LOADED) == [
        f"{file} was edited, and PostgreSQL has not read it since" for file in (rules, settings)
    ]
    reload(database)
    assert database.found(CheckName.NOT_LOADED) == []
    assert database.found(CheckName.PENDING_RESTART) == ["max_wal_senders: set, and in force only after a restart"]
    rules.write_text(f"{before[rules]}host all @admins 10.9.0.0/16 md5\nhost all all nonsense\n")
    reload(database)
    found = database.found(CheckName.NOT_LOADED)
    assert any("line" in line and "of pg_hba.conf: " in line for line in found)
    assert any("@admins" in line for line in found)
    for file, text in before.items():
        file.write_text(text)
    reload(database)
