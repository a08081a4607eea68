"""The client program, without a database."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from rehearsal.traffic import client
from rehearsal.traffic.client import Client, Link, Pool, repeat, sqlstate
from rehearsal.traffic.log import Operation, parse


class RefusedError(psycopg2.OperationalError):
    pgcode = "25006"


class FakeConnection:
    """A connection and its cursor in one; `fails` names the statement at which `error` is raised."""

    def __init__(self, fails: str = "", error: psycopg2.Error | None = None, *, cut: bool = False) -> None:
        self.fails, self.error, self.cut = fails, error, cut
        self.closed, self.statusmessage = 0, "COMMIT"

    def cursor(self) -> FakeConnection:
        return self

    def __enter__(self) -> FakeConnection:
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute(self, statement: str, _values: object = None) -> None:
        if self.error and statement.startswith(self.fails):
            self.closed = 2 if self.cut else 0
            raise self.error

    def close(self) -> None:
        self.closed = 1


class FakeLink(Link):
    made: list[FakeLink] = []  # noqa: RUF012
    next_fails: tuple[str, psycopg2.Error | None, bool] = ("", None, False)
    answering = True

    def __init__(self, name: str, database: str, role: str) -> None:
        fails, error, cut = FakeLink.next_fails
        self.connection: Any = FakeConnection(fails, error, cut=cut)
        self.address, self.version = "10.77.0.11", 150018
        FakeLink.made.append(self)

    def answers(self) -> bool:
        return self.answering


@pytest.fixture(autouse=True)
def links(monkeypatch: pytest.MonkeyPatch) -> list[FakeLink]:
    monkeypatch.setattr(client, "Link", FakeLink)
    monkeypatch.setattr(client, "WRITES", {"shop": lambda _cursor, _entry: 7})
    made: list[FakeLink] = []
    monkeypatch.setattr(FakeLink, "made", made)
    monkeypatch.setattr(FakeLink, "next_fails", ("", None, False))
    return made


def write_once(folder: Path, kind: str = "connect") -> Operation:
    Client(kind, folder).writes("db1.internal.ln", ["shop"])()
    return parse((folder / f"{kind}.jsonl").read_text(), "web1")[-1]


@pytest.mark.parametrize("percentage", [0, 100])
def test_an_order_keeps_a_large_object_only_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, percentage: int
) -> None:
    kept: list[str] = []
    monkeypatch.setattr(client, "keep_document", lambda _cursor, entry: kept.append(entry))
    Client("connect", tmp_path, percentage).writes("db1.internal.ln", ["shop"])()
    assert len(kept) == percentage / 100


def test_an_acknowledged_write_is_one_whose_commit_returned(tmp_path: Path) -> None:
    """The ledger's promise: this line is what the reconciliation later holds the databases to."""
    one = write_once(tmp_path)
    assert (one.ok, one.outcome, one.sqlstate, one.address, one.version) == (
        True,
        "acknowledged",
        None,
        "10.77.0.11",
        150018,
    )
    assert one.id


@pytest.mark.parametrize(
    ("fails", "error", "cut", "outcome", "state"),
    [
        ("INSERT", RefusedError("read-only"), False, "failed", "25006"),
        ("INSERT", psycopg2.OperationalError("server closed the connection"), True, "failed", "08006"),
        ("COMMIT", RefusedError("refused"), False, "failed", "25006"),
        ("COMMIT", psycopg2.OperationalError("server closed the connection"), True, "unknown", "08006"),
    ],
)
def test_how_a_write_ended(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fails: str,
    error: psycopg2.Error,
    cut: bool,
    outcome: str,
    state: str,
) -> None:
    """A write cut off during COMMIT may be there: called failed, it would be taken for a ghost; called done, for a loss."""
    monkeypatch.setattr(FakeLink, "next_fails", (fails, error, cut))
    one = write_once(tmp_path)
    assert (one.ok, one.outcome, one.sqlstate) == (False, outcome, state)


def test_a_commit_that_rolled_back_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COMMIT of a failed transaction returns without an error, and says ROLLBACK."""
    monkeypatch.setattr(FakeConnection, "statusmessage", "ROLLBACK", raising=False)
    monkeypatch.setattr(FakeConnection, "__init__", lambda self, *_, **__: self.__dict__.update(closed=0, error=None))
    assert write_once(tmp_path).outcome == "failed"


def test_an_error_that_nobody_thought_of_is_logged_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that dies on it would stop the traffic in silence, and no traffic has no errors."""

    def surprise(*_: object) -> int:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(client, "WRITES", {"shop": surprise})
    one = write_once(tmp_path)
    assert (one.ok, one.sqlstate, one.error) == (False, "ZeroDivisionError", "surprise")


@pytest.mark.parametrize(("tests", "kept"), [(True, True), (False, False)])
def test_what_pools_do_with_a_connection_after_an_error(links: list[FakeLink], tests: bool, kept: bool) -> None:
    """The testing pool must stay on a read-only server by itself: moving it away is what the upgrade has to do."""
    pool = Pool("app_writer", tests=tests)
    with pytest.raises(RefusedError), pool.lend("db1", "shop"):
        raise RefusedError("read-only")
    assert (pool.places["db1", "shop"][-1] is links[0]) == kept
    assert bool(links[0].connection.closed) != kept


def test_a_pool_replaces_a_connection_that_was_lost(links: list[FakeLink]) -> None:
    """Kept, a dead connection would fail for ever, and be blamed on the upgrade."""
    pool = Pool("app_writer", tests=True)
    with pytest.raises(psycopg2.OperationalError), pool.lend("db1", "shop") as link:
        link.connection.close()
        raise psycopg2.OperationalError("server closed the connection")
    assert list(pool.places["db1", "shop"]) == [None, None]


@pytest.mark.parametrize("tests", [True, False])
def test_only_the_testing_pool_tests(links: list[FakeLink], tests: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two kinds of pool must differ in this, or one of the three figures means nothing."""
    pool = Pool("app_reader", tests=tests)
    for _ in range(client.POOL_SIZE):
        with pool.lend("db2", "shop"):
            pass
    monkeypatch.setattr(FakeLink, "answering", False)
    with pool.lend("db2", "shop") as link:
        assert (link is links[0]) != tests


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ('FATAL:  pg_hba.conf rejects connection for host "10.77.0.21"', "28000"),
        ("FATAL:  the database system is starting up", "57P03"),
        ("connection to server failed: Connection refused", "connect: refused"),
        ("could not translate host name", "connect"),
    ],
)
def test_failures_without_sqlstate_have_a_name(words: str, state: str) -> None:
    """Errors that share one name cannot be told apart in the table at the end."""
    assert sqlstate(psycopg2.OperationalError(words), connected=False) == state
    assert sqlstate(psycopg2.OperationalError(words), connected=True) == "08006"


def test_late_steps_are_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage the clients would else come down on the new primary all at once, as none of them does in life."""
    now, stop, waits = [0.0], threading.Event(), []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        now[0] += seconds
        return len(waits) > 3

    monkeypatch.setattr(stop, "wait", wait)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    repeat(lambda: now.__setitem__(0, now[0] + 10), 1.0, stop)
    assert waits[1:] == [0.0, 0.0, 0.0]


def test_the_program_needs_nothing_of_this_repository() -> None:
    """It runs on servers that have Python and psycopg2 alone: an import from here would stop all traffic there."""
    source = Path(client.__file__).read_text()
    assert "rehearsal" not in source
