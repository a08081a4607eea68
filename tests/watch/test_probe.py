"""The probes against a PostgreSQL of the tests' own: what works, what is refused, and a connection that is lost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.traffic import log
from scripts.watch.operation import Client
from scripts.watch.probe import Probe
from scripts.watch.round import keeping, repeated, tasks
from tests.preflight.databases import BINARIES, Database, running

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
CLIENTS: tuple[Client, ...] = ("connect", "testing-pool")
NOTE = "INSERT INTO note (said) VALUES ('%')"


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="pgleap-") as folder, running(Path(folder)) as found:
        found.sql(
            "CREATE TABLE note (id int GENERATED ALWAYS AS IDENTITY, said text, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        yield found


@pytest.fixture(autouse=True)
def as_libpq_has_it(server: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects, and where, the probes are not told."""
    for key, value in {"PGPORT": str(server.port), "PGUSER": "postgres", "PGDATABASE": "postgres"}.items():
        monkeypatch.setenv(key, value)


@pytest.fixture(params=CLIENTS)
def probe(request: pytest.FixtureRequest) -> Iterator[Probe]:
    found = Probe("db1.internal.ln", request.param, lambda _: "127.0.0.1")
    yield found
    found.close()


def test_a_read_says_who_answered(server: Database, probe: Probe) -> None:
    """Reads that come from the wrong server look as well as others."""
    for _ in range(2):
        found = probe.read()
        assert (found.ok, found.error) == (True, None)
        assert (found.address, found.database, found.takes_writes) == ("127.0.0.1", "postgres", True)
        assert found.version is not None
        assert found.version // 10_000 == int(server.bin.parent.name)
        assert (found.kind, found.client, found.outcome) == ("read", probe.client, None)


def test_a_write_is_acknowledged_once_it_is_there(server: Database, probe: Probe) -> None:
    """A write that was rolled back, counted as done; `%` of the operator's statement taken for a parameter."""
    before = int(server.sql("SELECT count(*) FROM note WHERE said = '%'"))
    found = probe.write(NOTE)
    assert (found.ok, found.outcome) == (True, "acknowledged"), found.error
    assert int(server.sql("SELECT count(*) FROM note WHERE said = '%'")) == before + 1


def test_a_read_only_server_refuses_and_the_pool_stays(server: Database, probe: Probe) -> None:
    """The outage as clients have it: 25006, while their reads go on."""
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    server.sql("SELECT pg_reload_conf()")
    try:
        probe.close()
        found = [probe.write(NOTE) for _ in range(20)]
        refused = found[-1]
        assert (refused.ok, refused.outcome, refused.sqlstate) == (False, "failed", "25006")
        assert probe.read().ok
    finally:
        server.sql("BEGIN READ WRITE; COMMIT; ALTER SYSTEM RESET default_transaction_read_only")
        server.sql("SELECT pg_reload_conf()")


def test_a_refusal_at_commit_is_no_write(server: Database, probe: Probe) -> None:
    """COMMIT answers, and nothing was written: a deferred constraint."""
    before = server.sql("SELECT count(*) FROM note")
    found = probe.write("INSERT INTO note (id, said) OVERRIDING SYSTEM VALUE VALUES (-1, ''), (-1, '')")
    assert (found.ok, found.outcome, found.sqlstate) == (False, "failed", "23505")
    assert server.sql("SELECT count(*) FROM note") == before
    assert probe.read().ok


def test_a_connection_that_was_ended_is_found_out(server: Database) -> None:
    """A pool that does not test hands it out; this one must not, or the meter shows errors that such clients do not have."""
    pool = Probe("db1.internal.ln", "testing-pool", lambda _: "127.0.0.1")
    assert pool.read().ok
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgleap-watch'")
    assert pool.read().ok
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgleap-watch'"
    assert server.sql(sessions).strip() == "1"
    pool.close()


def test_a_connection_lost_in_commit_is_unknown(server: Database) -> None:
    """Counted as refused, a write that is there looks like one that nobody made."""
    one = Probe("db1.internal.ln", "connect", lambda _: "127.0.0.1")
    server.sql(
        "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END$$;"
        " CREATE CONSTRAINT TRIGGER leaves AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION leave()"
    )
    try:
        found = one.write(NOTE)
    finally:
        server.sql("DROP TRIGGER leaves ON note; DROP FUNCTION leave()")
    assert (found.ok, found.outcome) == (False, "unknown"), found.error
    assert found.sqlstate in ("57P01", "08006")


@pytest.mark.parametrize(
    ("name", "address", "port", "state"),
    [
        ("db1.internal.ln", "127.0.0.1", "1", "connect: refused"),
        ("no-such-name.invalid", None, "", "connect: no such name"),
    ],
)
def test_who_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str | None, port: str, state: str
) -> None:
    """An exception in a thread is a row that stands still, in green."""
    if port:
        monkeypatch.setenv("PGPORT", port)
    found = Probe(name, "connect", lambda _: address).read()
    assert (found.ok, found.sqlstate, found.address, found.version) == (False, state, None, None), found.error


def test_a_password_is_in_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file goes to whoever asks for the report."""
    monkeypatch.setenv("PGPASSWORD", "correct horse")
    one = Probe("db1.internal.ln", "connect", lambda _: "127.0.0.1")
    monkeypatch.setenv("PGDATABASE", "none")
    found = one.read()
    assert found.sqlstate == "3D000", found.error
    assert "correct horse" not in one.write(NOTE).line() + found.line()


def test_a_night_is_read_by_the_report(server: Database, tmp_path: Path) -> None:
    """Probes side by side, one file: lines that run into each other are an hour lost."""
    file = tmp_path / "laptop" / "watch.jsonl"
    work = tasks(["a", "b"], ["a"], NOTE, "", lambda _: "127.0.0.1")
    assert len(work) == 6
    with keeping(file) as kept:
        with repeated(work, 0.05, kept.take):
            time.sleep(1.0)
        rows = dict(kept.meter.rows)
    found = log.read(tmp_path)
    assert {(one.name, one.client, one.kind) for one in found} == set(rows)
    assert len(found) == sum(row.total for row in rows.values()) > 12
    assert all(one.ok for one in found)
    ended = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgleap-watch'"
    assert server.sql(ended).strip() == "0"
