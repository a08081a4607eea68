"""What a seal leaves on the disk and in force when something goes wrong, and slots that somebody streams from; on PostgreSQL servers of the
test's own."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import access, configuration, journal, seal, slots
from agent.cluster import from_desired
from agent.journal import Authority, Journal
from agent.postgres import Postgres
from agent.report import Refusal
from agent.seal_settings import SEAL_FILE
from agent.server import Server
from agent.states import Phase
from tests.preflight.databases import BINARIES, Database, running

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the agent is root, and comes in as such"),
]
READERS = ["127.0.0.9"]
WAIT_SECONDS = 20


class Sealable:
    """A server that lets the agent in, with a table that clients write to."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        server = Server().keeping_in(str(folder))
        self.postgres = Postgres(server, from_desired(database.desired()["postgres"]), "127.0.0.1")
        database.sql("CREATE TABLE t (id int)")
        access.have_way_in(self.postgres, READERS)

    def says(self, authority: Authority) -> None:
        journal.write(self.postgres.server, Journal(Phase.READONLY, 1, finished=False, authority=authority, epoch=1))

    def writes(self) -> None:
        """As a client that asks for nothing special; it fails if PostgreSQL refuses."""
        self.database.sql("INSERT INTO t VALUES (1)")

    def configure(self, line: str) -> None:
        with (self.database.data / "postgresql.conf").open("a") as file:
            file.write(f"{line}\n")
        self.postgres.reload()


@pytest.fixture(scope="module", params=BINARIES, ids=lambda binaries: binaries.parent.name)
def sealable(request: pytest.FixtureRequest) -> Iterator[Sealable]:
    with (
        tempfile.TemporaryDirectory(prefix="pgleap-") as folder,
        pytest.MonkeyPatch.context() as patched,
        running(Path(folder), {"max_wal_senders": "5"}, binaries=request.param) as database,
    ):
        patched.setattr("agent.postgres.SOCKET_FOLDER", str(database.folder))
        yield Sealable(database, Path(folder) / "state")


def test_a_seal_and_its_end(sealable: Sealable) -> None:
    """Whoever is let in again writes again, and autovacuum works."""
    sealable.says(Authority.HOLDS)
    seal.seal(sealable.postgres, READERS, 1)
    assert seal.is_whole(sealable.postgres) is None
    with pytest.raises(AssertionError, match="rejects connection"):
        sealable.writes()
    seal.unseal(sealable.postgres, READERS)
    sealable.writes()
    assert sealable.postgres.by_alter_system() == {}
    assert sealable.postgres.server.read_json(SEAL_FILE) == {}


def test_rules_that_were_written_and_never_read_are_seen(sealable: Sealable) -> None:
    """A run that dies between the two leaves them so, and the next one finds them on the disk."""
    hba = Path(sealable.postgres.cluster.hba_file)
    assert sealable.postgres.unread() is None
    os.utime(hba, (time.time() + 2, time.time() + 2))
    assert sealable.postgres.unread() == "rules that were written and never read"
    os.utime(hba, (time.time() - 2, time.time() - 2))


def test_read_only_by_default_that_no_record_tells_of_is_taken_away(sealable: Sealable) -> None:
    """The database is let in to, and every write is refused."""
    server, file = sealable.postgres.server, sealable.postgres.cluster.auto_config_file
    server.path(SEAL_FILE).unlink(missing_ok=True)
    setting = configuration.render("sealed by pgleap until it opens", {"default_transaction_read_only": "on"})
    server.write_durably(file, (server.path(file).read_text() + setting).encode())
    access.write_rules(server, sealable.postgres.cluster, READERS, sealed=True)
    sealable.postgres.reload()
    seal.unseal(sealable.postgres, READERS)
    sealable.writes()


def test_autovacuum_that_was_off_before_the_seal_stays_off(sealable: Sealable) -> None:
    """Somebody's own will, and not the seal's."""
    sealable.database.sql("ALTER SYSTEM SET autovacuum = off")
    sealable.says(Authority.HOLDS)
    seal.seal(sealable.postgres, READERS, 1)
    for _ in range(2):
        seal.autovacuum_again(sealable.postgres)
        assert sealable.postgres.by_alter_system()["autovacuum"] == "off"
    seal.unseal(sealable.postgres, READERS)
    assert sealable.postgres.by_alter_system() == {"autovacuum": "off"}
    sealable.database.sql("ALTER SYSTEM RESET autovacuum")


def test_a_slot_goes_though_somebody_streams_from_it(sealable: Sealable) -> None:
    """A server that is called lost may live on: its slot fills the disk."""
    database = sealable.database
    database.sql("SELECT pg_create_physical_replication_slot('pgleap_db_a', true)")
    command = ["runuser", "-u", "postgres", "--", str(database.bin / "pg_receivewal"), "-D", str(database.folder), "-S", "pgleap_db_a",
               "-h", str(database.folder), "-p", str(database.port), "-U", "postgres"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as streams:
        deadline = time.monotonic() + WAIT_SECONDS
        while not sealable.postgres.rows("SELECT FROM pg_replication_slots WHERE active"):
            assert time.monotonic() < deadline, "nobody streams"
            time.sleep(0.1)
        which = "slot_name = 'pgleap_db_a'"
        dropped = slots.drop(sealable.postgres.server, sealable.postgres.rows, which)
        assert dropped == ["dropped the slot pgleap_db_a"]
        assert slots.drop(sealable.postgres.server, sealable.postgres.rows, which) == []
        streams.terminate()


@pytest.fixture
def forbidding(sealable: Sealable) -> Iterator[Sealable]:
    if sealable.postgres.cluster.version < 17:
        pytest.skip("ALTER SYSTEM can be forbidden from 17 on")
    yield sealable
    sealable.configure("allow_alter_system = on")


def test_a_seal_that_postgresql_refuses_leaves_the_database_open(forbidding: Sealable) -> None:
    """Rules that shut clients out, on the disk of a database that holds the authority, end its writes at the next reload of anybody's."""
    forbidding.says(Authority.HOLDS)
    forbidding.configure("allow_alter_system = off")
    with pytest.raises(Refusal, match="ALTER SYSTEM is not allowed"):
        seal.seal(forbidding.postgres, READERS, 1)
    assert not access.is_sealed(forbidding.postgres.server, forbidding.postgres.cluster)
    forbidding.postgres.reload()
    forbidding.writes()
    seal.unseal(forbidding.postgres, READERS, was_open=True)
    forbidding.writes()


def test_a_database_opens_though_alter_system_is_forbidden_since(forbidding: Sealable) -> None:
    """Going back, and going on, would end with a database that nobody can write to."""
    forbidding.says(Authority.HOLDS)
    seal.seal(forbidding.postgres, READERS, 1)
    forbidding.says(Authority.SEALED)
    forbidding.configure("allow_alter_system = off")
    seal.unseal(forbidding.postgres, READERS)
    forbidding.writes()
    assert forbidding.postgres.by_alter_system() == {}


def test_rules_that_postgresql_cannot_read_are_taken_back(sealable: Sealable) -> None:
    """They would count from its next start on."""
    sealable.says(Authority.HOLDS)
    file = sealable.postgres.cluster.hba_file
    text = Path(file).read_text()
    with Path(file).open("a") as rules:
        rules.write("host all all nonsense\n")
    try:
        with pytest.raises(Refusal, match=r"settings of before|a valid"):
            seal.seal(sealable.postgres, READERS, 1)
        assert not access.is_sealed(sealable.postgres.server, sealable.postgres.cluster)
        assert sealable.postgres.by_alter_system() == {}
    finally:
        Path(file).write_text(text)
    seal.unseal(sealable.postgres, READERS)
    sealable.writes()
