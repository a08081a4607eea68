"""What an application says to its database, as pg_stat_statements kept it; and locks."""

from __future__ import annotations

import subprocess

import pytest

from agent.check_names import CheckName
from agent.checks import activity
from tests.preflight.databases import BINARIES, Database
from tests.preflight.standbys import until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


def test_statements_that_a_standby_does_not_serve(database: Database) -> None:
    """The page that takes a row lock to read fails for everybody on DB_B, and worked on every day before."""
    before = dict(database.settings)
    assert "no database has pg_stat_statements" in str(database.look(CheckName.STANDBY_READS).unseen)
    database.restart(shared_preload_libraries="pg_stat_statements")
    try:
        # In a schema and a database of its own, as careful people have it.
        database.sql("CREATE DATABASE shop")
        database.sql(
            "CREATE SCHEMA monitoring; CREATE EXTENSION pg_stat_statements SCHEMA monitoring;"
            "CREATE TABLE item (id int PRIMARY KEY, n int); CREATE SEQUENCE number; INSERT INTO item VALUES (1, 1);"
            "CREATE TABLE part (item int REFERENCES item); INSERT INTO part VALUES (1);"
            "SELECT monitoring.pg_stat_statements_reset();",
            "shop",
        )
        harmless = (
            "SELECT * FROM item; INSERT INTO item VALUES (nextval('number') + 10, 2); BEGIN ISOLATION LEVEL REPEATABLE READ; COMMIT;"
            "CREATE TABLE plain (n int DEFAULT nextval('number')); SELECT 'for', 'update' FROM item; BEGIN READ ONLY; COMMIT;"
        )
        database.sql(harmless, "shop")
        assert database.found(CheckName.STANDBY_READS) == []
        assert database.found(CheckName.READ_WRITE_STATEMENTS) == []
        for _ in range(3):
            database.sql("SELECT n FROM item WHERE id = 1\n FOR NO KEY UPDATE", "shop")
        database.sql(
            "WITH x AS (SELECT 1) SELECT nextval('number'); CREATE TEMP TABLE mine (); SELECT 1 INTO TEMPORARY other; LISTEN news;"
            "SELECT pg_try_advisory_lock(1); BEGIN ISOLATION LEVEL SERIALIZABLE; COMMIT; BEGIN READ WRITE; COMMIT;"
            "SELECT txid_current();",
            "shop",
        )
        found = database.found(CheckName.STANDBY_READS)
        assert [line.rpartition("calls) ")[2] for line in found] == [
            "makes a temporary table",
            "makes a temporary table",
            "listens or notifies",
            "wants a serializable transaction",
        ]
        # What nearly every application says before a write is no warning.
        found = database.found(CheckName.LOCKING_READS)
        assert found[0] == "shop: SELECT n FROM item WHERE id = $1 FOR NO KEY UPDATE (3 calls) takes row locks"
        assert [line.rpartition("calls) ")[2] for line in found[1:]] == [
            "takes a value of a sequence",
            "takes a transaction id",
            "takes advisory locks, which each server has for itself",
        ]
        assert database.found(CheckName.READ_WRITE_STATEMENTS) == ["shop: BEGIN READ WRITE (1 calls)"]
    finally:
        database.sql("DROP DATABASE IF EXISTS shop")
        database.restart(**before)


def test_locks_that_are_waited_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that hangs in front of everybody makes the seal end all of them, after graceSeconds of refused writes."""
    database.sql("CREATE TABLE busy ()")
    assert database.found(CheckName.LOCKS) == []
    folder, port = str(database.folder), str(database.port)
    argv = [str(database.bin / "psql"), "-XqAt", "-h", folder, "-p", port, "-U", "postgres"]
    with (
        subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as holder,
        subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as waiter,
    ):
        assert holder.stdin is not None
        assert waiter.stdin is not None
        holder.stdin.write("BEGIN; LOCK TABLE busy IN ACCESS EXCLUSIVE MODE;\n")
        holder.stdin.flush()
        until(database, "SELECT count(*) = 1 FROM pg_locks WHERE relation = 'busy'::regclass AND granted")
        waiter.stdin.write("SELECT * FROM busy;\n")
        waiter.stdin.flush()
        until(database, "SELECT count(*) = 1 FROM pg_locks WHERE relation = 'busy'::regclass AND NOT granted")
        assert database.found(CheckName.LOCKS) == []  # not for long
        monkeypatch.setattr(activity, "WAITING_SECONDS", 0)
        waits, holds = database.found(CheckName.LOCKS)
        blocker = database.sql("SELECT pid FROM pg_locks WHERE relation = 'busy'::regclass AND granted").strip()
        assert waits.startswith("postgres in postgres (process ")
        assert waits.endswith(f" s for a lock (relation) that process {blocker} has or waits for")
        assert holds.startswith(
            f"postgres (process {blocker}) has busy of postgres for itself alone (ACCESS EXCLUSIVE)"
        )
        holder.stdin.close()
        waiter.stdin.close()
    database.sql("DROP TABLE busy")
