"""Who else is tied to the old primary, planted on a PostgreSQL server of the test's own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.check_names import CheckName
from agent.own_names import PUBLICATION, SLOT
from agent.publisher import slot_of
from tests.preflight.databases import BINARIES, Database, running
from tests.preflight.standbys import until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with running(tmp_path_factory.mktemp("company"), {"wal_level": "logical"}) as found:
        yield found


@contextmanager
def _slot(database: Database, name: str, plugin: str = "") -> Iterator[None]:
    make = f"logical_replication_slot('{name}', '{plugin}')" if plugin else f"physical_replication_slot('{name}', true)"
    database.sql(f"SELECT pg_create_{make}")
    try:
        yield
    finally:
        database.sql(f"SELECT pg_drop_replication_slot('{name}')")


def test_slots_of_others(database: Database) -> None:
    """A backup or a CDC reader that nobody thought of stops, or misses what was written around the upgrade."""
    assert database.found(CheckName.REPLICATION_SLOTS) == []
    with _slot(database, "barman"), _slot(database, "debezium", "pgoutput"):
        first, second = database.found(CheckName.REPLICATION_SLOTS)
    assert first.startswith("physical slot barman: nobody reads it, ") and first.endswith(" of WAL kept")
    assert second.startswith("logical slot debezium of postgres (pgoutput): nobody reads it, ")


def test_slots_of_the_fleet_and_of_pgleap(database: Database) -> None:
    """Told of every replica, people would not read on."""
    with _slot(database, SLOT), _slot(database, "replica_db_2"), _slot(database, slot_of("shop"), "pgoutput"):
        assert database.found(CheckName.REPLICATION_SLOTS, replicas={"db-2": "127.0.0.2"}) == []
        (found,) = database.found(CheckName.REPLICATION_SLOTS, replicas={"db": "127.0.0.2", "db-3": "127.0.0.3"})
    assert found.startswith("physical slot replica_db_2:")


def test_whoever_reads_a_slot_is_told(database: Database, tmp_path: Path) -> None:
    """A slot that is read from a server of the stack is that server's, whatever its name."""
    with _slot(database, "walbox"):
        with _reader(database, str(database.folder), tmp_path):
            (found,) = database.found(CheckName.REPLICATION_SLOTS)
            assert found.startswith("physical slot walbox: read by pg_receivewal from the socket, ")
        with _reader(database, "127.0.0.1", tmp_path):
            assert database.found(CheckName.REPLICATION_SLOTS) == []
            assert len(database.found(CheckName.REPLICATION_SLOTS, databases={"db1": "10.0.0.9"})) == 1


def test_a_logical_consumer_is_told(database: Database) -> None:
    """It is ended by the seal, and its slot does not come along: whose it is, and how far it came."""
    with _slot(database, "cdc", "test_decoding"):
        where = ["-h", "127.0.0.1", "-p", str(database.port), "-U", "postgres", "-d", "postgres"]
        program = [str(database.bin / "pg_recvlogical"), *where, "--slot", "cdc", "--start", "--no-loop", "-f", "-"]
        with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as consumer:
            until(database, "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
            (found,) = database.found(CheckName.REPLICATION_SLOTS)
            consumer.terminate()
        until(database, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'cdc'")
    told = "logical slot cdc of postgres (test_decoding): read by pg_recvlogical as postgres from 127.0.0.1, confirmed up to "
    assert found.startswith(told)


@contextmanager
def _reader(database: Database, host: str, folder: Path) -> Iterator[None]:
    reads = "SELECT count(*) FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid"
    mine = folder / host.replace("/", "_")
    mine.mkdir()
    where = ["-h", host, "-p", str(database.port), "-U", "postgres", "-D", str(mine), "-S", "walbox", "--no-loop"]
    process = subprocess.Popen([str(database.bin / "pg_receivewal"), *where], stderr=subprocess.DEVNULL)
    try:
        _wait(database, reads, "1")
        yield
    finally:
        process.terminate()
        process.wait()
        _wait(database, reads, "0")


def _wait(database: Database, query: str, answer: str) -> None:
    for _ in range(200):
        if database.sql(query).strip() == answer:
            return
        time.sleep(0.05)
    raise AssertionError(f"{query} never was {answer}")


def test_subscriptions(database: Database) -> None:
    """It writes behind a client gate that is shut."""
    assert database.found(CheckName.SUBSCRIPTIONS) == []
    for name in ("feed", PUBLICATION):
        database.sql(
            f"CREATE SUBSCRIPTION {name} CONNECTION 'host=/nowhere password=secret' PUBLICATION a, b WITH (connect = false)"
        )
    assert database.found(CheckName.SUBSCRIPTIONS) == []  # disabled, it writes nothing
    for name in ("feed", PUBLICATION):
        database.sql(f"ALTER SUBSCRIPTION {name} ENABLE")
    assert database.found(CheckName.SUBSCRIPTIONS) == ["postgres: feed, to a, b, is enabled"]
    for name in ("feed", PUBLICATION):
        database.sql(f"ALTER SUBSCRIPTION {name} DISABLE; ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
        database.sql(f"DROP SUBSCRIPTION {name}")
    assert database.found(CheckName.SUBSCRIPTIONS) == []


def test_publications(database: Database) -> None:
    """Its subscribers would follow a database that nobody writes to any more."""
    database.sql(f"CREATE TABLE news (id int); CREATE PUBLICATION {PUBLICATION} FOR TABLE news")
    assert database.found(CheckName.PUBLICATIONS) == []
    database.sql("CREATE PUBLICATION news_out FOR TABLE news; CREATE PUBLICATION whole FOR ALL TABLES")
    with _slot(database, "reader", "pgoutput"), _slot(database, slot_of("postgres"), "pgoutput"):
        assert database.found(CheckName.PUBLICATIONS) == [
            "postgres: news_out, of 1 tables",
            "postgres: whole, of all 1 tables",
        ]
    with (
        _slot(database, "cdc", "test_decoding"),
        _slot(database, slot_of("postgres"), "pgoutput"),
        _slot(database, "db2"),
    ):
        assert database.found(CheckName.PUBLICATIONS) == [], "nobody reads by them: no warning is owed to anybody"
    database.sql(f"DROP PUBLICATION news_out, whole, {PUBLICATION}; DROP TABLE news")


def test_foreign_servers(database: Database) -> None:
    """Those that point to a server of the stack would go on reading the old database; others may not let DB_A in."""
    names = {"main.db.internal": "127.0.0.1"}
    for name in (CheckName.FOREIGN_SERVERS, CheckName.LINKS_TO_STACK):
        assert database.found(name, names=names) == []
    database.sql(
        "CREATE EXTENSION dblink; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER elsewhere FOREIGN DATA WRAPPER w OPTIONS (host '10.9.9.9');"
        "CREATE SERVER main FOREIGN DATA WRAPPER w OPTIONS (host 'main.db.internal', dbname 'shop');"
        "CREATE USER MAPPING FOR postgres SERVER main OPTIONS (password 'secret'); CREATE SERVER files FOREIGN DATA WRAPPER w"
    )
    assert database.found(CheckName.FOREIGN_SERVERS, names=names) == [
        "postgres: elsewhere (w to 10.9.9.9), 0 user mappings",
        "postgres: files (w), 0 user mappings",
        "postgres: the extension dblink",
    ]
    assert database.found(CheckName.LINKS_TO_STACK, names=names) == [
        "postgres: main (w to main.db.internal), 1 user mappings"
    ]
    database.sql("DROP FOREIGN DATA WRAPPER w CASCADE; DROP EXTENSION dblink")


def test_scheduled_jobs(database: Database) -> None:
    """pg_cron and pgAgent are not here; their tables are, as their sources make them."""
    for name in (CheckName.SCHEDULED_JOBS, CheckName.JOB_CLIENTS):
        assert database.found(name) == []
    database.sql(
        "CREATE SCHEMA cron; CREATE TABLE cron.job (jobid bigint, schedule text, command text, active boolean);"
        "INSERT INTO cron.job VALUES (1, '0 3 * * *', E'VACUUM\\n  big', true), (2, '* * * * *', 'SELECT 1', false);"
        "CREATE SCHEMA pgagent; CREATE TABLE pgagent.pga_job (jobid int, jobname text, jobenabled boolean);"
        "INSERT INTO pgagent.pga_job VALUES (1, 'nightly', true), (2, 'off', false)"
    )
    assert database.found(CheckName.SCHEDULED_JOBS) == ["postgres: the job 1, 0 3 * * *: VACUUM big"]
    assert database.found(CheckName.JOB_CLIENTS) == ["postgres: the job nightly"]
    database.sql("DROP SCHEMA cron, pgagent CASCADE")


def test_event_triggers(database: Database) -> None:
    """One that forbids DDL forbids pgleap's."""
    assert database.found(CheckName.EVENT_TRIGGERS) == []
    database.sql(
        "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION watch();"
    )
    assert database.found(CheckName.EVENT_TRIGGERS) == ["postgres: watching, on ddl_command_end, calls watch()"]
    database.sql("ALTER EVENT TRIGGER watching DISABLE")
    assert database.found(CheckName.EVENT_TRIGGERS) == []
    database.sql("DROP EVENT TRIGGER watching; DROP FUNCTION watch()")
