"""Replicas that do not follow, and limits that keep DB_A or the way back from following, on servers of the test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import time

import pytest

from agent.check_names import CheckName
from agent.checks import replication
from agent.client_rules import BEGIN
from agent.onlooker import Onlooker
from tests.preflight.databases import BINARIES, Database
from tests.preflight.standbys import set_to, standby_of, until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
REPLICA = {"replicas": {"db2": "127.0.0.1"}, "databases": {"db1": "127.0.0.9", "db2": "127.0.0.1"}}


def test_a_replica_that_does_not_follow(database: Database) -> None:
    """Reads would go to a server that is days, or one held-up replay, behind."""
    assert database.found(CheckName.STREAMING, **REPLICA) == [
        "db2 (127.0.0.1) is not connected: DB_B has to stream from this server itself"
    ]
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


def test_a_replica_of_a_replica(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows well, and its owner was told to build it anew."""
    both = {
        "replicas": {"db2": "127.0.0.1", "db3": "127.0.0.3"},
        "databases": {"db1": "127.0.0.9", "db2": "127.0.0.1", "db3": "127.0.0.3"},
    }
    told = ""
    monkeypatch.setattr("agent.other_side.OtherSide.read_json", lambda self, sql: json.loads(told))
    with (
        standby_of(database, database.folder / "first") as first,
        standby_of(first, database.folder / "second") as second,
    ):
        assert database.found(CheckName.STREAMING, **both) == [], "before prepare it is asked itself"
        itself = {"side": "old replica", "isReadFrom": False}
        assert second.found(CheckName.STREAMING, **itself) == []
        told = second.sql(replication.RECEIVES)
        rules = database.data / "pg_hba.conf"
        before = rules.read_text()
        rules.write_text(f"{BEGIN}\n{before}")
        assert database.found(CheckName.STREAMING, **both) == []
        first.stop()
        try:
            until(second, "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")
            assert second.found(CheckName.STREAMING, **itself) == ["it streams from nobody (there is no WAL receiver)"]
            told = second.sql(replication.RECEIVES)
            (found, alone) = database.found(CheckName.STREAMING, **both)
            assert found.startswith("db2 (127.0.0.1) is not connected: DB_B has to")
            assert alone == "db3 (127.0.0.3) is not connected, and follows no other replica"
        finally:
            rules.write_text(before)
            first.start()


def test_who_streams_beside_a_replica(database: Database) -> None:
    """A backup from the replica's own server was taken for its stream; one that comes from an address of its own for a stranger."""
    with standby_of(database, database.folder / "beside"):
        copy = [str(database.bin / "pg_receivewal"), "-h", "127.0.0.1", "-p", str(database.port), "-U", "postgres"]
        with subprocess.Popen([*copy, "-D", str(database.folder), "--no-loop"], stderr=subprocess.DEVNULL) as other:
            until(database, "SELECT count(*) = 2 FROM pg_stat_replication")
            assert database.found(CheckName.STREAMING, **REPLICA) == []
            other.terminate()
        moved = {"replicas": {"db2": "127.0.0.4"}, "databases": {"db1": "127.0.0.9", "db2": "127.0.0.4"}}
        (found,) = database.found(CheckName.STREAMING, **moved)
        assert found.endswith("; whoever streams from 127.0.0.1 is no server of the stack by its address")


def test_a_replica_that_is_late_for_a_moment_or_on_purpose(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that passes, and a replica that is kept an hour behind, refused the night."""
    asked = {**REPLICA, "lagBytes": 0}
    with standby_of(database, database.folder / "late") as standby:
        standby.sql("SELECT pg_wal_replay_pause()")
        database.sql("CREATE TABLE late AS SELECT generate_series(1, 1000) AS n")
        monkeypatch.setattr(Onlooker, "sleep", lambda *_: _catches_up(database, standby))
        assert database.found(CheckName.LAG, **{**asked, "readsFrom": {"db9": "127.0.0.7"}}) == []
        assert database.found(CheckName.LAG, **asked) == []
        database.sql("DROP TABLE late")


def _catches_up(primary: Database, standby: Database) -> None:
    standby.sql("SELECT pg_wal_replay_resume()")
    until(primary, "SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication")


def test_a_slot_with_room_for_the_wal_of_a_base_backup(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of 50 GB on a terabyte that writes a megabyte a second is well chosen."""
    set_to(database, max_slot_wal_keep_size="16MB", max_wal_size="32MB")
    monkeypatch.setattr(replication, "COPY_BYTES_A_SECOND", 10**12)
    try:
        (found,) = database.found(CheckName.SLOT_WAL)
        assert "16 MB" in found
        monkeypatch.setattr(replication, "wal_rate", lambda _: 1.0)
        set_to(database, max_slot_wal_keep_size="33MB")
        assert database.found(CheckName.SLOT_WAL) == []
    finally:
        set_to(database, ALL=None)


def test_timeouts_and_slots_that_lose_their_wal(database: Database) -> None:
    """A base backup of hours whose slot was allowed a megabyte is found out at its end; a dead connection, never."""
    assert database.found(CheckName.SLOT_WAL) == []
    assert database.found(CheckName.SENDER_TIMEOUT) == []
    set_to(
        database,
        max_slot_wal_keep_size="1MB",
        wal_sender_timeout="0",
        wal_receiver_timeout="500ms",
    )
    try:
        (lost,) = database.found(CheckName.SLOT_WAL)
        assert lost.startswith("max_slot_wal_keep_size is 1.0 MB, the databases are ")
        assert database.found(CheckName.SENDER_TIMEOUT) == [
            "wal_sender_timeout is 0: a connection that died is never noticed",
            "wal_receiver_timeout is 500 ms: a busy server would be taken for a dead one",
        ]
        set_to(
            database,
            max_slot_wal_keep_size="1GB",
            wal_sender_timeout="30s",
            wal_receiver_timeout=None,
        )
        assert database.found(CheckName.SLOT_WAL) == []
    finally:
        set_to(database, ALL=None)


def test_limits_of_statements_end_nothing_of_pgleaps(database: Database) -> None:
    """Many a fleet limits everybody's statements; pgleap's own sessions set none (session_settings), and a base backup is none."""
    set_to(database, statement_timeout="200ms")
    try:
        assert database.found(CheckName.SENDER_TIMEOUT) == []
        began = time.monotonic()
        where = ["-h", "127.0.0.1", "-p", str(database.port), "-U", "postgres", "-c", "fast", "--max-rate=16M"]
        database.run("pg_basebackup", "-D", str(database.folder / "copy"), "--no-sync", *where)
        assert time.monotonic() - began > 0.5
    finally:
        set_to(database, ALL=None)
        shutil.rmtree(database.folder / "copy", ignore_errors=True)


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
