"""Replicas that do not follow, and limits that keep DB_A or the way back from following, on servers of the test's own."""

from __future__ import annotations

import pytest

from agent.check_names import CheckName
from tests.preflight.databases import BINARIES, Database
from tests.preflight.standbys import set_to, standby_of, until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
REPLICA = {"replicas": {"db2": "127.0.0.1"}, "databases": {"db1": "127.0.0.9", "db2": "127.0.0.1"}}


def test_a_replica_that_does_not_follow(database: Database) -> None:
    """Reads would go to a server that is days, or one held-up replay, behind."""
    assert database.found(CheckName.STREAMING, **REPLICA) == ["db2 (127.0.0.1) is not connected"]
    assert database.found(CheckName.STREAMING, **{**REPLICA, "databases": {}}) == []  # lost: nobody reads there
    assert database.look(CheckName.STREAMING, phase="cutover", **REPLICA).unseen is not None
    with standby_of(database, database.folder / "standby") as standby:
        assert database.found(CheckName.STREAMING, **REPLICA) == []
        assert standby.found(CheckName.ROLES, side="old replica") == []
        assert standby.found(CheckName.ROLES, side="old primary") == ["db1 is in recovery, not the primary"]
        until(database, "SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication")
        assert database.found(CheckName.LAG, lagBytes=1_000_000, **REPLICA) == []
        standby.sql("SELECT pg_wal_replay_pause()")
        database.sql("CREATE TABLE late AS SELECT generate_series(1, 100000) AS n")
        until(database, "SELECT flush_lsn = pg_current_wal_lsn() FROM pg_stat_replication")
        (found,) = database.found(CheckName.LAG, lagBytes=1_000_000, **REPLICA)
        assert found.startswith("db2 is ") and found.endswith(" behind, 977 kB is the limit")
        standby.sql("SELECT pg_wal_replay_resume()")
        database.sql("DROP TABLE late")


def test_timeouts_and_slots_that_lose_their_wal(database: Database) -> None:
    """A base backup of hours whose slot was allowed a megabyte is found out at its end; a dead connection, never."""
    assert database.found(CheckName.SLOT_WAL) == []
    assert database.found(CheckName.SENDER_TIMEOUT) == []
    set_to(
        database,
        max_slot_wal_keep_size="1MB",
        wal_sender_timeout="0",
        wal_receiver_timeout="500ms",
        statement_timeout="30s",
    )
    try:
        (lost,) = database.found(CheckName.SLOT_WAL)
        assert lost.startswith("max_slot_wal_keep_size is 1.0 MB, the databases are ")
        assert database.found(CheckName.SENDER_TIMEOUT) == [
            "wal_sender_timeout is 0: a connection that died is never noticed",
            "wal_receiver_timeout is 500 ms: a busy server would be taken for a dead one",
            "statement_timeout is 30s for everybody: pgleap's and administrators' long statements end by it",
        ]
        set_to(
            database,
            max_slot_wal_keep_size="1GB",
            statement_timeout="0s",
            wal_sender_timeout="30s",
            wal_receiver_timeout=None,
        )
        assert database.found(CheckName.SLOT_WAL) == []
        # An application's role may limit itself; what a database limits, everybody's sessions there have.
        database.sql("CREATE ROLE app; ALTER ROLE app SET statement_timeout = '5s';")
        assert database.found(CheckName.SENDER_TIMEOUT) == []
        database.sql("ALTER DATABASE postgres SET statement_timeout = '5s'")
        (limited,) = database.found(CheckName.SENDER_TIMEOUT)
        assert limited.startswith("statement_timeout is 5s in the database postgres: ")
        database.sql("ALTER DATABASE postgres RESET ALL; DROP ROLE app;")
    finally:
        set_to(database, ALL=None)


def test_limits_that_take_a_restart(database: Database) -> None:
    """After cutover a subscription without a worker is simply never run: the way back would lose what it did not carry."""
    before = dict(database.settings)
    assert database.found(CheckName.STREAM_LIMITS) == []
    assert database.found(CheckName.WAL_LEVEL) == []
    database.sql("CREATE DATABASE second")
    database.restart(
        wal_level="minimal", max_wal_senders="0", max_logical_replication_workers="1", max_worker_processes="2"
    )
    try:
        assert database.found(CheckName.STREAM_LIMITS) == [
            "max_logical_replication_workers is 1, 2 are needed for 2 databases",
            "max_worker_processes is 2, 3 are needed for 2 databases",
        ]
        assert database.found(CheckName.STREAM_LIMITS, reverse={"enabled": False, "leaveOut": []}) == []
        assert database.found(CheckName.WAL_LEVEL) == [
            "wal_level is minimal",
            "max_wal_senders leaves 0, DB_A's base backup takes 2",
        ]
        database.restart(max_replication_slots="1", max_wal_senders="3")
        assert database.found(CheckName.STREAM_LIMITS) == ["max_replication_slots is 1, 2 are needed for 2 databases"]
        assert database.found(CheckName.WAL_LEVEL) == []
        database.sql("SELECT pg_create_physical_replication_slot('somebody')")
        assert database.found(CheckName.WAL_LEVEL) == ["max_replication_slots leaves none for DB_A"]
        database.sql("SELECT pg_drop_replication_slot('somebody')")
    finally:
        database.restart(**before)
        database.sql("DROP DATABASE second")
