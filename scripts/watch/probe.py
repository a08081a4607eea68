"""A probe: one read or write through a database name, by psycopg, as a client of the fleet would do it.

Who connects, and with which password, is libpq's to find: PGUSER, PGDATABASE, PGSERVICE, PGPASSFILE and their like.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from scripts.watch.operation import LETTERS, Client, Kind, Operation, Outcome

# Name -> address; None leaves the name to this machine.
Resolve = Callable[[str], str | None]
Connection = psycopg.Connection[tuple[Any, ...]]

# Seconds. Nobody is waited for longer: a server that is gone must look like one.
CONNECT_SECONDS = 3
STATEMENT_SECONDS = 5
PARAMETERS: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": 1000 * STATEMENT_SECONDS,
    "application_name": "pgleap-watch",
}
WHO = "SELECT host(inet_server_addr()), current_setting('server_version_num')::int, NOT pg_is_in_recovery()"
# libpq gives no SQLSTATE when it cannot connect; these are the server's own words, and libpq's.
CONNECT_FAILURES = {
    "pg_hba.conf": "28000",
    "the database system is": "57P03",
    "too many clients": "53300",
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    "FATAL:  role": "28000",
    "FATAL:  database": "3D000",
    "Connection refused": "connect: refused",
    "timeout": "connect: timeout",
    "translate host name": "connect: no such name",
    "resolve": "connect: no such name",
}


@dataclass
class _Seen:
    """What is known of an operation so far."""

    database: str = ""
    address: str | None = None
    version: int | None = None
    takes_writes: bool | None = None
    outcome: Outcome | None = None
    connected: bool = False


@dataclass
class Probe:
    """One kind of client, at one name. `database` is libpq's own choice where it is empty. Not for two threads at once."""

    name: str
    client: Client
    resolve: Resolve
    database: str = ""
    _kept: Connection | None = field(default=None, init=False)

    def read(self) -> Operation:
        """Ask who answers."""
        return self._operation("read", self._ask)

    def write(self, statement: str) -> Operation:
        """Run the operator's statement in a transaction of its own."""

        def work(connection: Connection, seen: _Seen) -> None:
            seen.outcome = "failed"
            self._ask(connection, seen)
            connection.execute("BEGIN")
            connection.execute(statement.encode())
            seen.outcome = "unknown"
            try:
                done = connection.execute("COMMIT")
            except psycopg.Error:
                # An answer to COMMIT on a connection that goes on is a refusal. Anything else leaves it open.
                seen.outcome = "unknown" if connection.closed else "failed"
                raise
            seen.outcome = "acknowledged" if done.statusmessage == "COMMIT" else "failed"

        return self._operation("write", work)

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _operation(self, kind: Kind, work: Callable[[Connection, _Seen], None]) -> Operation:
        seen, began = _Seen(database=self.database, outcome="failed" if kind == "write" else None), time.time()
        state = error = None
        try:
            with self._lent(seen) as connection:
                work(connection, seen)
        except psycopg.Error as raised:
            state, error = sqlstate(raised, connected=seen.connected), " ".join(str(raised).split())[:LETTERS]
        ok = seen.outcome == "acknowledged" if kind == "write" else error is None
        return Operation(
            kind, self.client, self.name, seen.database, began, time.time(), ok, state, error,
            seen.address, seen.version, seen.outcome, seen.takes_writes,
        )  # fmt: skip

    def _ask(self, connection: Connection, seen: _Seen) -> None:
        row = connection.execute(WHO).fetchone()
        assert row is not None
        seen.address, seen.version, seen.takes_writes = row

    @contextmanager
    def _lent(self, seen: _Seen) -> Iterator[Connection]:
        """A connection for one operation: a new one, or the kept one if it answers."""
        connection = self._kept if self._kept is not None and _answers(self._kept) else self._connect()
        seen.connected, seen.database = True, connection.info.dbname
        try:
            yield connection
        except psycopg.Error:
            # A testing pool keeps what still works: after "read-only transaction" it stays where it is.
            if not connection.closed:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
            raise
        finally:
            if self.client == "connect" or connection.closed:
                connection.close()
                self._kept = None
            else:
                self._kept = connection

    def _connect(self) -> Connection:
        self.close()
        where = {"host": self.name, "hostaddr": self.resolve(self.name), "dbname": self.database or None}
        given: dict[str, Any] = {**PARAMETERS, **{key: value for key, value in where.items() if value}}
        connection = psycopg.connect(autocommit=True, prepare_threshold=None, **given)
        connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
        return connection


def _answers(connection: Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        connection.close()
        return False
    return True


def sqlstate(error: psycopg.Error, *, connected: bool) -> str:
    """The server's SQLSTATE; for failures that have none 08006 on a connection, else what kept it from being made."""
    if error.sqlstate:
        return error.sqlstate
    if connected:
        return "08006"
    return next((state for words, state in CONNECT_FAILURES.items() if words in str(error)), "connect")
