"""Whoever speaks SQL and is no ordinary client, in a database that is being sealed; on servers of the test's own."""

from __future__ import annotations

import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import consumers, own_names, seal, unused
from agent.client_sessions import INSIDE, WORKERS
from agent.cluster import from_desired
from agent.postgres import Postgres
from agent.report import Refusal
from agent.server import Server
from tests.preflight.databases import BINARIES, Database, running
from tests.preflight.standbys import standby_of, until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
GRACE_SECONDS = 2.0
NEXT_ID = "SELECT pg_snapshot_xmax(pg_current_snapshot())"


@pytest.fixture(scope="module", params=BINARIES, ids=lambda binaries: binaries.parent.name)
def whole(request: pytest.FixtureRequest) -> Iterator[Database]:
    settings = {"wal_level": "logical", "max_prepared_transactions": "2", "shared_preload_libraries": "pg_prewarm"}
    with (
        tempfile.TemporaryDirectory(prefix="pgleap-") as folder,
        running(Path(folder), settings, binaries=request.param) as found,
    ):
        found.sql(
            "CREATE ROLE pgleap_root SUPERUSER LOGIN; CREATE ROLE cdc SUPERUSER LOGIN; CREATE TABLE t (id int PRIMARY KEY)"
        )
        (found.data / "pg_hba.conf").write_text(
            "local all all trust\nhost all all all trust\nhost replication all all trust\n"
        )
        found.sql("SELECT pg_reload_conf()")
        yield found


@pytest.fixture
def database(whole: Database) -> Iterator[Database]:
    """As pgleap found it: open, and without a slot."""
    yield whole
    (whole.data / "pg_hba.conf").write_text(
        "local all all trust\nhost all all all trust\nhost replication all all trust\n"
    )
    whole.run("psql", "-XqAt", "-U", "pgleap_root", "-c", "SET default_transaction_read_only = off", "-c", "ALTER SYSTEM RESET ALL",
              "-c", "SELECT pg_reload_conf()", "postgres")  # fmt: skip
    until(whole, "SELECT current_setting('default_transaction_read_only') = 'off'")
    whole.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active; TRUNCATE t")


@pytest.fixture
def postgres(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    monkeypatch.setattr("agent.postgres.SOCKET_FOLDER", str(database.folder))
    cluster = from_desired(database.desired()["postgres"])
    server = Server(tmp_path)
    server.path(cluster.config).mkdir(parents=True, exist_ok=True)
    return Postgres(server, cluster, "127.0.0.1")


class Walsender:
    """A session with `replication=database`, which speaks SQL, as it is on the wire (PostgreSQL documentation, "Message Formats")."""

    def __init__(self, database: Database, user: str = "cdc") -> None:
        self._socket = socket.create_connection(("127.0.0.1", database.port), 30)
        given = {"user": user, "database": "postgres", "replication": "database", "application_name": "debezium"}
        body = b"".join(f"{name}\0{value}\0".encode() for name, value in given.items()) + b"\0"
        self._socket.sendall(struct.pack("!II", len(body) + 8, 196608) + body)
        self._until(b"Z")

    def ask(self, text: str, answered: bytes = b"Z") -> bytes:
        """The messages that come back, up to one of this kind."""
        body = text.encode() + b"\0"
        self._socket.sendall(b"Q" + struct.pack("!I", len(body) + 4) + body)
        return self._until(answered)

    def follow(self, slot: str, where: str = "0/0") -> None:
        self.ask(f"START_REPLICATION SLOT {slot} LOGICAL {where}", b"W")

    def stop_following(self) -> None:
        self._socket.sendall(b"c" + struct.pack("!I", 4))
        self._until(b"Z")

    def _until(self, wanted: bytes) -> bytes:
        said = b""
        while True:
            kind, size = struct.unpack("!cI", self._read(5, said))
            said += self._read(size - 4, said)
            if kind == wanted:
                return said

    def _read(self, size: int, said: bytes) -> bytes:
        found = b""
        while len(found) < size:
            part = self._socket.recv(size - len(found))
            if not part:
                raise EOFError(said)
            found += part
        return found


def sealed(postgres: Postgres, database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The seal, with rules that are this server's own: pgleap's role gets in over the socket, and nobody else."""

    def rules(*_: object, **__: object) -> list[str]:
        (database.data / "pg_hba.conf").write_text(
            "local all pgleap_root trust\nlocal all all reject\nhost all all all reject\n"
        )
        return []

    monkeypatch.setattr(seal, "write_rules", rules)
    monkeypatch.setattr(seal, "refused_from_here", lambda postgres: None)
    monkeypatch.setattr(
        Postgres, "postmaster", lambda self: int((database.data / "postmaster.pid").read_text().split()[0])
    )
    return seal.seal(postgres, [], GRACE_SECONDS)


def told(postgres: Postgres) -> dict[str, dict[str, object]]:
    fence = seal.take_fence(postgres)
    return {row["slot"]: row for row in consumers.told(postgres.server, fence)}


def test_a_consumer_that_streams_does_not_survive_the_seal(
    database: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stopped streaming after the fence, and committed on the released old primary."""
    walsender = Walsender(database)
    walsender.ask("CREATE_REPLICATION_SLOT cdc LOGICAL test_decoding")
    walsender.follow("cdc")
    assert postgres.value(f"(SELECT count(*) FROM pg_stat_activity WHERE {INSIDE})") == "1"
    changed = sealed(postgres, database, monkeypatch)
    assert "ended debezium as cdc from 127.0.0.1, which followed by the slot cdc" in changed
    assert postgres.value(f"(SELECT count(*) FROM pg_stat_activity WHERE {INSIDE})") == "0"
    with pytest.raises((EOFError, OSError)):
        walsender.stop_following()
        walsender.ask("BEGIN READ WRITE; INSERT INTO t VALUES (4711); COMMIT")
    assert postgres.value("(SELECT count(*) FROM public.t)") == "0"
    with pytest.raises(EOFError, match="rejects"):
        Walsender(database).ask("SELECT 1")


def test_a_consumer_that_writes_while_it_is_drained_moves_the_fence(
    database: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it commits until it is ended is before the fence, and so on DB_A; nobody is told that it was sent."""
    walsender = Walsender(database)
    walsender.ask("CREATE_REPLICATION_SLOT cdc LOGICAL test_decoding")
    walsender.follow("cdc")
    drain = consumers.drain

    def drained(postgres: Postgres, seconds: float) -> None:
        drain(postgres, seconds)
        walsender.stop_following()
        walsender.ask("BEGIN READ WRITE; INSERT INTO t VALUES (4711); COMMIT")

    monkeypatch.setattr(consumers, "drain", drained)
    sealed(postgres, database, monkeypatch)
    slot = told(postgres)["cdc"]
    assert (postgres.value("(SELECT count(*) FROM public.t)"), slot["reached"]) == ("1", False)
    assert postgres.value(f"(SELECT count(*) FROM pg_stat_activity WHERE {INSIDE})") == "0"


def test_a_consumer_has_everything_up_to_the_fence_and_is_told_of(
    database: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_recvlogical, as a change data capture does it; a slot that nobody reads; pgleap's own, which stays."""
    for slot in ("cdc", "nobody", f"{own_names.PUBLICATION}_postgres_ab12cd"):
        database.sql(f"SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')")
    ours = Walsender(database, "pgleap_root")
    ours.follow(f"{own_names.PUBLICATION}_postgres_ab12cd")
    received = database.folder / "received"
    where = ["-h", "127.0.0.1", "-p", str(database.port), "-U", "cdc", "-d", "postgres"]
    follow = [
        str(database.bin / "pg_recvlogical"),
        *where,
        "--slot",
        "cdc",
        "--start",
        "--no-loop",
        "-s",
        "1",
        "-f",
        "-",
    ]
    with received.open("w") as file, subprocess.Popen(follow, stdout=file, stderr=subprocess.DEVNULL) as consumer:
        until(database, "SELECT active FROM pg_replication_slots WHERE slot_name = 'cdc'")
        database.sql("INSERT INTO t SELECT generate_series(1, 20000)")
        began = time.monotonic()
        sealed(postgres, database, monkeypatch)
        assert time.monotonic() - began < 2 * GRACE_SECONDS
        assert consumer.wait(30) != 0
    slots = told(postgres)
    assert set(slots) == {"cdc", "nobody"}
    assert slots["cdc"]["consumer"] == "pg_recvlogical as cdc from 127.0.0.1"
    assert slots["cdc"]["reached"] is True
    assert (slots["nobody"]["consumer"], slots["nobody"]["reached"]) == (None, False)
    assert slots["cdc"]["confirmed"] == database_value(postgres, "cdc")
    assert received.read_text().count("INSERT:") == 20000
    still = f"(SELECT active FROM pg_replication_slots WHERE slot_name ~ '^{own_names.PUBLICATION}_')"
    assert postgres.value(still) == "t"
    # Once more, as after an interruption: who followed is known still.
    consumers.drain(postgres, GRACE_SECONDS)
    assert told(postgres) == slots
    del ours


def test_one_that_is_too_slow_is_ended_too(
    database: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes are refused meanwhile: it is given what transactions under way are given, and told of."""
    walsender = Walsender(database)
    walsender.ask("CREATE_REPLICATION_SLOT cdc LOGICAL test_decoding")
    walsender.follow("cdc")
    database.sql(
        "INSERT INTO t SELECT generate_series(1, 200000)"
    )  # more than the buffers between hold, and it reads nothing
    began = time.monotonic()
    sealed(postgres, database, monkeypatch)
    assert time.monotonic() - began < 10 * GRACE_SECONDS
    assert told(postgres)["cdc"]["reached"] is False
    assert postgres.value(f"(SELECT count(*) FROM pg_stat_activity WHERE {INSIDE})") == "0"


def test_a_physical_standby_stays(database: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """It speaks no SQL, and has the fence to replay. Its sender is none of those inside."""
    with standby_of(database, database.folder / f"standby-{time.monotonic_ns()}"):
        (backup := Walsender(database)).ask("SELECT 1")
        sealed(postgres, database, monkeypatch)
        assert postgres.value("(SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming')") == "1"
        with pytest.raises((EOFError, OSError)):
            backup.ask("SELECT 1")


def test_nothing_of_postgresqls_own_is_a_worker_that_writes(database: Database, postgres: Postgres) -> None:
    """A background worker refuses the seal: an ordinary server, its autovacuum and its parallel queries must not."""
    kinds = "(SELECT string_agg(DISTINCT backend_type, ', ') FROM pg_stat_activity)"
    busy = (
        f"SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET min_parallel_table_scan_size = 0;"
        f" SELECT count(*) FROM pg_stat_activity WHERE {WORKERS};"
    )
    assert database.sql(busy).strip() == "0", postgres.value(kinds)


def test_who_else_writes_is_refused_in_one_look(database: Database, postgres: Postgres) -> None:
    """An ordinary server, whose extension has a worker without a database, has nobody; a prepared transaction is somebody."""
    seal.refuse_other_writers(postgres)
    database.sql("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left'")
    try:
        with pytest.raises(Refusal, match="the prepared transaction left in postgres"):
            seal.refuse_other_writers(postgres)
    finally:
        database.sql("ROLLBACK PREPARED 'left'")


def test_a_worker_in_a_database_is_refused(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its extension would begin it again as often as it is ended: it is named before anybody is refused a write."""
    # No extension with one is packaged here, so that a session of psql's is taken for one.
    monkeypatch.setattr(seal, "AT_WORK", seal.AT_WORK.replace("'client backend', ", "").replace("NOT IN ('pgleap'", "NOT IN ('nobody'")
                        .replace("'pgleap_root')", "'nobody')"))  # fmt: skip
    with pytest.raises(Refusal, match="the background worker client backend in postgres"):
        seal.refuse_other_writers(postgres)


def test_an_old_server_that_a_consumer_follows_is_in_use(database: Database, postgres: Postgres) -> None:
    """Before its server is stopped for good, whoever follows there is named."""
    walsender = Walsender(database)
    walsender.ask("CREATE_REPLICATION_SLOT cdc LOGICAL test_decoding")
    walsender.follow("cdc")
    with pytest.raises(Refusal, match=r"1 from 127.0.0.1 as cdc in postgres \(debezium\)"):
        unused.refuse_clients(postgres, 0)
    del walsender
    until(database, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'cdc'")


def database_value(postgres: Postgres, slot: str) -> str:
    return postgres.value(f"(SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}')")
