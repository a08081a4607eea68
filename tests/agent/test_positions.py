"""A position that everybody who follows reaches, on servers of the test's own: quiet ones, right after a switch of segments."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import coming_back, positions, seal
from agent.cluster import from_desired
from agent.coming_back import Wanted
from agent.journal import Fence
from agent.postgres import Postgres
from agent.server import Server
from tests.preflight.databases import BINARIES, Database, running
from tests.preflight.standbys import standby_of, until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
# A walwriter that sleeps wakes up after 5 s, and a quiet server writes a record every 15 s.
SOON_SECONDS = 2.0
# Nothing is written but by the test, and as the seal has it.
QUIET = {"wal_level": "logical", "autovacuum": "off", "checkpoint_timeout": "1d"}


@pytest.fixture(scope="module", params=BINARIES, ids=lambda binaries: binaries.parent.name)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with (
        tempfile.TemporaryDirectory(prefix="pgleap-") as folder,
        running(Path(folder), QUIET, binaries=request.param) as found,
    ):
        yield found


def postgres_of(database: Database, folder: Path) -> Postgres:
    return Postgres(Server(folder), from_desired(database.desired()["postgres"]), "127.0.0.1", role="postgres")


@pytest.fixture
def postgres(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    monkeypatch.setattr("agent.postgres.SOCKET_FOLDER", str(database.folder))
    return postgres_of(database, tmp_path)


def right_after_a_switch(database: Database) -> None:
    """Where a switch writes nothing: archive_timeout's own, a base backup's, or one by hand came before."""
    database.sql("SELECT pg_log_standby_snapshot()" if int(database.bin.parent.name) >= 16 else "CHECKPOINT")
    database.sql("SELECT pg_switch_wal()")
    before = database.sql("SELECT pg_current_wal_insert_lsn()")
    assert database.sql("SELECT pg_switch_wal() IS NOT NULL; SELECT pg_current_wal_insert_lsn()") == f"t\n{before}"


def test_a_standby_replays_the_fence_of_a_quiet_primary(database: Database, postgres: Postgres) -> None:
    """It stood 40 bytes short until something was written, with writes refused and nobody left who would write."""
    with standby_of(database, database.folder / f"fence-{time.monotonic_ns()}") as standby:
        for _ in range(3):  # the first may be helped by the start of the standby
            right_after_a_switch(database)
            fence = seal.take_fence(postgres)
            until(standby, f"SELECT pg_last_wal_replay_lsn() >= '{fence.lsn}'", SOON_SECONDS)
            assert int(database.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())")) == fence.xid


def test_the_record_is_written_in_a_sealed_database(database: Database, postgres: Postgres) -> None:
    """The read-only setting stands by then, and the next transaction id is what the fence is proved by."""
    database.sql("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()")
    try:
        until(database, "SELECT current_setting('default_transaction_read_only') = 'on'")
        at = positions.next_record(postgres)
        after = positions.next_record(postgres)
    finally:
        database.sql("SET default_transaction_read_only = off; ALTER SYSTEM RESET ALL; SELECT pg_reload_conf()")
    assert at["xid"] == after["xid"]
    assert database.sql(f"SELECT '{after['lsn']}'::pg_lsn > '{at['lsn']}'::pg_lsn").strip() == "t"


def test_db_b_replays_where_the_way_back_asks_it_to(database: Database, postgres: Postgres) -> None:
    """DB_B serves the reads: the old primary opens once DB_B has what its clients saw, and nothing is written meanwhile."""
    wanted = Wanted(replay_seconds=SOON_SECONDS, wholly=False, reads_from="127.0.0.1", jobs=1, next_round=2)
    with standby_of(database, database.folder / f"reads-{time.monotonic_ns()}"):
        for _ in range(3):
            right_after_a_switch(database)
            coming_back._wait_for_reads(postgres, wanted)


def test_a_subscriber_confirms_the_fence(database: Database, postgres: Postgres, tmp_path: Path) -> None:
    """The stream back: the old primary opens once its subscription has confirmed DB_A's fence. It had nothing to confirm for up to 15 s."""
    with (
        tempfile.TemporaryDirectory(prefix="pgleap-") as folder,
        running(Path(folder), binaries=database.bin) as follower,
    ):
        database.sql("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION back FOR TABLE t")
        follower.sql("CREATE TABLE t (id int PRIMARY KEY)")
        where = f"host=127.0.0.1 port={database.port} user=postgres dbname=postgres"
        follower.sql(f"CREATE SUBSCRIPTION back CONNECTION '{where}' PUBLICATION back")
        try:
            until(database, "SELECT active FROM pg_replication_slots WHERE slot_name = 'back'")
            for id_ in range(3):
                database.sql(f"INSERT INTO t VALUES ({id_})")
                right_after_a_switch(database)
                fence: Fence = seal.take_fence(postgres)
                confirmed = (
                    f"SELECT confirmed_flush_lsn >= '{fence.lsn}' FROM pg_replication_slots WHERE slot_name = 'back'"
                )
                until(database, confirmed, SOON_SECONDS)
                assert follower.sql("SELECT max(id) FROM t") == f"{id_}\n"
        finally:
            follower.sql("DROP SUBSCRIPTION back")
            database.sql("DROP PUBLICATION back; DROP TABLE t")
