"""DB_A's half of the stream back, on a PostgreSQL server of the test's own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent import publisher
from agent.cluster import from_desired
from agent.postgres import Postgres
from agent.server import Server
from tests.preflight.databases import BINARIES, Database, running
from tests.preflight.standbys import until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
PATIENCE_SECONDS = 60
SLOTS = "SELECT slot_name, confirmed_flush_lsn FROM pg_replication_slots"


@pytest.fixture(params=BINARIES, ids=lambda binaries: binaries.parent.name)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with (
        tempfile.TemporaryDirectory(prefix="pgleap-") as folder,
        running(Path(folder), {"wal_level": "logical"}, binaries=request.param) as found,
    ):
        yield found


class Client:
    """A session that begins a transaction at once; `xid` is its id. It ends with the block, or who waits for it would wait for ever."""

    def __init__(self, database: Database) -> None:
        psql = [
            str(database.bin / "psql"),
            "-XqAt",
            "-h",
            str(database.folder),
            "-p",
            str(database.port),
            "-U",
            "postgres",
        ]
        self._process = subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._say("BEGIN; SELECT txid_current();")
        assert self._process.stdout is not None
        self.xid = self._process.stdout.readline().strip()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def commits(self, work: str = "") -> None:
        self._say(f"{work} COMMIT;")
        self._process.communicate(timeout=PATIENCE_SECONDS)

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()


def test_a_slot_while_others_change_the_catalog(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each database's half is made beside the others': a slot that fails over that, now and then, ends the window after pg_upgrade."""
    monkeypatch.setattr("agent.postgres.SOCKET_FOLDER", str(database.folder))
    cluster = from_desired(database.desired()["postgres"])
    postgres = Postgres(Server(tmp_path), cluster, "127.0.0.1", role="postgres")

    def until_it_waits_for(client: Client) -> None:
        waits = f"SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND transactionid::text = '{client.xid}')"
        until(database, waits, PATIENCE_SECONDS)

    with ThreadPoolExecutor() as pool, Client(database) as earlier:
        made = pool.submit(publisher.make_ready, postgres, [], 1, compared=False)
        until_it_waits_for(earlier)
        with Client(database) as later:
            earlier.commits()
            until_it_waits_for(later)
            later.commits("CREATE TABLE fresh (id int);")
        assert made.result(PATIENCE_SECONDS) == ["made 1 slots for a stream back"]
    slot = database.sql(SLOTS)
    assert slot.startswith(publisher.slot_of("postgres"))
    # Once more, as after an interruption: the stream goes on from where it was.
    publisher.make_ready(postgres, [], 1, compared=False)
    assert database.sql(SLOTS) == slot
