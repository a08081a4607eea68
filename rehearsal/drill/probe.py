"""The lab's own probe: it tries to write the rude way, on every database, all the time, and remembers what was accepted."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import psycopg2
import psycopg2.extensions

from agent.pg_upgrade import NEW_PORT
from rehearsal.data.fill import Psql
from rehearsal.drill.expect import expect
from rehearsal.lab.databases import PORT
from rehearsal.lab.fleet import ORDINARY, Fleet
from rehearsal.traffic.log import Operation

INTERVAL_SECONDS = 0.25
# A role's own read-only setting wins over the server's in `metrics` (rehearsal/data/schema/cluster.sql).
FRESH, KEPT = "shop", "metrics"
CLIENT = "the probe"
CONNECTION = psycopg2.extensions.connection


@dataclass(frozen=True)
class Commit:
    """A write that a database acknowledged. Times in seconds since the epoch."""

    id: str
    database: str
    server: str
    version: int
    sent: float
    acknowledged: float


def places(fleet: Fleet) -> list[tuple[str, int]]:
    """Every server and port that may have a database. DB_A's old and its new version share a port; while pg_upgrade works, the new one has
    another."""
    target = fleet.target.name
    old = [one.name for one in (fleet.primary, *fleet.replicas)]
    return [*((name, PORT) for name in (*old, target)), (target, NEW_PORT)]


class Probe:
    """Tries all the places, each on a thread of its own, with new sessions and with one that is kept as long as it lives."""

    def __init__(self, fleet: Fleet = ORDINARY) -> None:
        self._fleet = fleet
        self._places = places(fleet)
        self.commits: list[Commit] = []
        self.refusals: dict[tuple[str, str], str] = {}
        self._tried: dict[tuple[str, int], float] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=place) for place in self._places]

    @contextmanager
    def at_work(self) -> Iterator[Probe]:
        """Probing goes on while this lasts."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Probing ends, and its sessions; once is enough, twice does no harm."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def accepting(self) -> set[str]:
        """The servers that accept a write now: every place is tried once more, from now on."""
        now = time.time()
        while any(self._tried.get(place, 0.0) < now for place in self._places):
            expect(all(thread.is_alive() for thread in self._threads), "a thread of the probe has died")
            time.sleep(0.02)
        return {one.server for one in self.commits if one.sent >= now}

    def write(self, session: CONNECTION, server: str, database: str, begin: str = "BEGIN READ WRITE") -> Commit:
        """One rude write; it counts if it is acknowledged. Raises psycopg2.Error."""
        id_, sent = str(uuid.uuid4()), time.time()
        with session.cursor() as cursor:
            cursor.execute(begin)
            cursor.execute("INSERT INTO ledger VALUES (%s, %s, 0)", (id_, CLIENT))
            cursor.execute("COMMIT")
        # A COMMIT that ends a failed transaction says ROLLBACK; the INSERT has raised by then.
        commit = Commit(id_, database, server, session.server_version // 10_000, sent, time.time())
        self.commits.append(commit)
        return commit

    def connect(self, server: str, database: str, port: int = PORT, options: str = "") -> CONNECTION:
        """A session of the application's writer, over TCP. Raises psycopg2.OperationalError."""
        session: CONNECTION = psycopg2.connect(
            host=self._fleet.named(server).address,
            port=port,
            dbname=database,
            user="app_writer",
            password="the-writer-of-the-lab",  # noqa: S106 - it guards nothing but the lab
            connect_timeout=3,
            tcp_user_timeout=3000,
            options=f"-c statement_timeout=3s {options}",
            sslmode="disable",
            gssencmode="disable",
        )
        session.autocommit = True
        return session

    def _repeat(self, server: str, port: int) -> None:
        kept: CONNECTION | None = None
        while not self._over.wait(INTERVAL_SECONDS):
            began = time.time()
            try:
                with closing(self.connect(server, FRESH, port)) as fresh:
                    self.write(fresh, server, FRESH)
            except psycopg2.Error as error:
                self.refusals[server, FRESH] = str(error)
            try:
                kept = kept or self.connect(server, KEPT, port)
                self.write(kept, server, KEPT)
            except psycopg2.Error as error:
                self.refusals[server, KEPT] = str(error)
                kept = still_of_use(kept)
            self._tried[server, port] = began
        if kept is not None:
            kept.close()


def still_of_use(session: CONNECTION | None) -> CONNECTION | None:
    """The session, out of the transaction that failed; None if it has ended."""
    if session is None or session.closed:
        return None
    with suppress(psycopg2.Error):
        session.cursor().execute("ROLLBACK")
        return session
    session.close()
    return None


def acknowledged(operations: Iterable[Operation], fleet: Fleet = ORDINARY) -> list[Commit]:
    """The clients' own commits, from their logs. Pure. What an operation waited for before its COMMIT counts as sending."""
    servers = {fleet.named(name).address: name for name, _ in places(fleet)}
    return [
        Commit(one.id or "", one.database, servers[one.address or ""], (one.version or 0) // 10_000, one.start, one.end)
        for one in operations
        if one.outcome == "acknowledged"
    ]


def authorities(commits: Collection[Commit]) -> list[str]:
    """The databases that took writes, one after another, as `db1 15`. Pure. One that comes back stands there twice.

    Fails where one was sent a write that it acknowledged before the last one of the database before it was acknowledged.
    """
    ordered = sorted(commits, key=lambda one: one.sent)
    found: list[str] = []
    last = 0.0
    for one in ordered:
        name = f"{one.server} {one.version}"
        if not found or found[-1] != name:
            expect(one.sent >= last, f"two databases took writes at once: {found[-1:]} until {last}, and {one}")
            found.append(name)
        last = max(last, one.acknowledged)
    return found


def lost(commits: Iterable[Commit], psql: Psql) -> list[Commit]:
    """The commits that are not on this database. None must be missing on the one that holds the authority in the end."""
    before = list(commits)  # the probe may be at work: what it adds from now on may not be there yet
    there = {name: set(psql(name, "SELECT id FROM ledger").split()) for name in (FRESH, KEPT, "forum")}
    return [one for one in before if one.id not in there[one.database]]
