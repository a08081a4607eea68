"""What whoever compares servers reads of each."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent import trial
from agent.checks import database_facts, facts
from agent.checks.sight import Sight
from agent.server import Server
from tests.preflight.databases import BINARIES, Database
from tests.preflight.places import desired
from tests.preflight.standbys import until


def seen(database: Database, side: str) -> dict[str, Any]:
    with database.sight(side=side) as sight:
        return facts.seen(sight)


@pytest.mark.postgres
@pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
def test_of_a_database_server(database: Database) -> None:
    """A fact that is silently missing makes two servers look alike."""
    argv = [str(database.bin / "psql"), "-XqAt", "-h", "127.0.0.1", "-p", str(database.port), "-U", "postgres"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as client:
        until(database, "SELECT count(*) = 1 FROM pg_stat_activity WHERE client_addr = '127.0.0.1'")
        found = seen(database, "old primary")
        assert client.stdin is not None
        client.stdin.close()
    assert found.keys() == facts.LOOKS.keys() | database_facts.LOOKS.keys()
    assert found.pop("trialSeconds") is None, "it is DB_A's"
    assert not [
        name for name, value in found.items() if value is None or (isinstance(value, dict) and "unseen" in value)
    ]
    major = database.bin.parent.name
    assert found["version"] == found["binaries"][major]
    assert found["version"].startswith(f"{major}.")
    control = database.run("pg_controldata", "-D", str(database.data))
    assert f"Database system identifier:           {found['systemIdentifier']}\n" in control
    assert found["glibc"].startswith("glibc 2.")
    linked = subprocess.run(["ldd", str(database.bin / "postgres")], capture_output=True, text=True, check=True).stdout
    assert found["icu"][major] is None or f"libicui18n.so.{found['icu'][major]} " in linked
    used = subprocess.run(["du", "-sb", str(database.data)], capture_output=True, text=True, check=True).stdout
    assert 0.8 < found["dataBytes"] / int(used.split()[0]) < 1.2
    assert found["clientSessions"]["127.0.0.1"] == 1
    assert (found["maxConnections"], found["reservedConnections"]) == (100, 3)
    assert found["memoryBytes"] > 2**28
    assert seen(database, "old replica")["walBytesPerSecond"] is None


def test_of_the_schema_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest part of the night, measured; a trial that broke off measured nothing."""
    monkeypatch.setattr(trial, "RECORD", str(tmp_path / "trial.json"))
    for found, told in (([], 3.5), (["shop: no"], None)):
        (tmp_path / "trial.json").write_text(
            json.dumps({"found": found, "seconds": {"dump": 1.25, "restore": 2.25, "all": 6.0}})
        )
        with Sight(desired(tmp_path, side="DB_A"), Server()) as sight:
            assert facts.seen(sight)["trialSeconds"] == told


@pytest.mark.postgres
@pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
def test_what_the_c_library_sorts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is not counted misses rows on a DB_A of another system; one too many keeps a fleet from a system that sorts alike."""
    database.sql(
        """CREATE COLLATION mine (LOCALE = 'C.UTF-8');
        CREATE TABLE words (a text, b text COLLATE "C", c text COLLATE "POSIX", d text COLLATE mine, n int) PARTITION BY RANGE (d);
        CREATE INDEX ON words (a, b, c, n)"""
    )
    assert seen(database, "old primary")["sortedByCLibrary"] == 0, "the database is in C.UTF-8"
    monkeypatch.setattr(
        database_facts, "BY_C_LIBRARY", database_facts.BY_C_LIBRARY.replace("'^(C|POSIX)([.]|$)'", "'^(C|POSIX)$'")
    )
    assert seen(database, "old primary")["sortedByCLibrary"] == 2, "the index's first column, and the partitions"
    database.sql("DROP TABLE words; DROP COLLATION mine")


def test_of_other_servers(tmp_path: Path) -> None:
    """A server of the application has no PostgreSQL to be asked, and a DB_A that is not made yet answers what it can."""
    with Sight(desired(tmp_path, side="server"), Server()) as sight:
        found = facts.seen(sight)
    assert {name for name, value in found.items() if value is not None} == {"clock", "memoryBytes"}
    with Sight(desired(tmp_path), Server()) as sight:
        found = facts.seen(sight)
    assert found["binaries"] == {"15": None, "17": None}
    assert found["freeBytes"] > 0
    assert "it is not" in found["version"]["unseen"]
