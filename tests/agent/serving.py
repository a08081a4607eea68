"""A PostgreSQL server of a test file's own, of each version there is, and the agent's way in."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.client_rules import LOCAL_ROLE, READER
from agent.cluster import from_desired
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.server import Server
from tests.preflight.databases import BINARIES, Database, running

MARKS = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
SETTINGS = {"wal_level": "logical", "max_prepared_transactions": "4"}


@dataclass
class Serving:
    """A running server with pgleap's roles: `database` as a test reaches it, `postgres` as the agent does."""

    database: Database
    postgres: Postgres

    @property
    def version(self) -> int:
        return self.postgres.cluster.version

    def sql(self, text: str, database: str = "postgres") -> str:
        return self.database.sql(text, database).strip()

    def other_side(self) -> OtherSide:
        """The same server, as the other one asks it."""
        psql = self.postgres.cluster.program("psql")
        return OtherSide(self.postgres.server, "db1", "127.0.0.1", self.database.port, psql)

    def session(self, database: str = "postgres") -> Session:
        return Session(self.database, database)


class Session:
    """A client's session. `say` returns when what it says is done, and what it printed."""

    def __init__(self, database: Database, name: str) -> None:
        where = ["-h", str(database.folder), "-p", str(database.port), "-U", "postgres", "-d", name]
        self._process = subprocess.Popen(
            [str(database.bin / "psql"), "-XqAt", *where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def say(self, text: str) -> list[str]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{text}\n\\echo said\n")
        self._process.stdin.flush()
        return [line.rstrip("\n") for line in iter(self._process.stdout.readline, "said\n")]


def serving(binaries: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """For a fixture of the scope of the `monkeypatch`."""
    with _serving(binaries, monkeypatch) as found:
        yield found


@contextmanager
def _serving(binaries: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with (
        tempfile.TemporaryDirectory(prefix="pgleap-") as folder,
        tempfile.TemporaryDirectory(prefix="pgleap-") as root,
        running(Path(folder), SETTINGS, binaries=binaries) as database,
    ):
        monkeypatch.setattr("agent.postgres.SOCKET_FOLDER", str(database.folder))
        database.sql(f"CREATE ROLE {LOCAL_ROLE} SUPERUSER LOGIN; CREATE ROLE {READER} LOGIN REPLICATION")
        cluster = from_desired(database.desired()["postgres"])
        yield Serving(database, Postgres(Server(Path(root)), cluster, "127.0.0.1"))
