"""An old primary and a DB_A of the test's own, of the oldest and the newest version there is, as the verbs of the agent see them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import functions
from agent.client_rules import READER
from agent.cluster import OS_USER, from_desired
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.server import Server
from tests.preflight.databases import BINARIES, Database, running

NEEDS_POSTGRESQL = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
SETTINGS = {
    "wal_level": "logical", "max_replication_slots": "20", "max_wal_senders": "20", "max_logical_replication_workers": "20",
    "max_worker_processes": "40", "wal_receiver_status_interval": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Side:
    """One server: itself, and as the agent on it sees it."""

    database: Database
    postgres: Postgres

    def other(self) -> OtherSide:
        """As the agent on the other server sees it."""
        mine = self.postgres
        return OtherSide(mine.server, "it", "127.0.0.1", self.database.port, mine.cluster.program("psql"))

    def sql(self, text: str, database: str = "postgres") -> str:
        """Statements of a test's own, by the agent's way in: names reach the server as they are."""
        return self.postgres.execute(f"SET search_path = public;\n{text}", database, writing=True)


@dataclass(frozen=True)
class Sides:
    """`both` does the same on each, as pg_upgrade would have left it."""

    old: Side
    new: Side

    def both(self, text: str, database: str = "postgres") -> None:
        for side in (self.old, self.new):
            side.sql(text, database)

    def make_database(self, name: str, how: str = "") -> None:
        """On each, with the functions that the two sides show each other by."""
        quoted = name.replace('"', '""')
        self.both(f'CREATE DATABASE "{quoted}" {how};')
        for side in (self.old, self.new):
            functions.make(side.postgres, name)


@contextmanager
def two_sides() -> Iterator[Sides]:
    """Both run until the block ends; root reaches them as the agent does."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgleap-")))
        if os.geteuid() == 0:
            shutil.chown(folder, OS_USER)
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("agent.postgres.SOCKET_FOLDER", str(folder))

        def side(name: str, binaries: Path) -> Side:
            own = folder / name
            own.mkdir()
            settings = {**SETTINGS, "unix_socket_directories": f"{folder},{own}"}
            found = stack.enter_context(running(own, settings, binaries=binaries))
            found.sql(f"CREATE ROLE {READER} LOGIN REPLICATION")
            server = Server().keeping_in(str(own / "state"))
            return Side(
                found, Postgres(server, from_desired(found.desired()["postgres"]), "127.0.0.1", role="postgres")
            )

        yield Sides(side("old", BINARIES[0]), side("new", BINARIES[-1]))
