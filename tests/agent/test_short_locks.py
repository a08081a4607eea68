"""Statements of pgleap's own on a database that serves, beside a client that reads for long, on PostgreSQL servers of the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from agent import functions, publisher, short_locks, views
from agent.client_rules import READER
from agent.other_side import OtherSide
from agent.report import Refusal
from agent.subscriber import SUBSCRIPTION, Subscriber
from tests.agent.serving import MARKS, Serving, serving
from tests.preflight.databases import BINARIES

pytestmark = MARKS

DEADLINE_SECONDS = 3.0
# A try of pgleap's, and what a busy machine needs for a statement besides.
HELD_SECONDS = short_locks.TRY_MILLISECONDS / 1000 + 0.8
TABLES = """CREATE TABLE busy (id int, v text); INSERT INTO busy VALUES (1, 'x'); CREATE TABLE quiet (id int);
CREATE TABLE keyed (id int PRIMARY KEY);"""


@pytest.fixture(scope="module", params=BINARIES, ids=lambda binaries: binaries.parent.name)
def server(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield from serving(request.param, monkeypatch)


@pytest.fixture
def it(server: Serving, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A database of the test's own, in which pgleap has made its functions and is given little time."""
    monkeypatch.setattr(short_locks, "DEADLINE_SECONDS", DEADLINE_SECONDS)
    for one in (short_locks.execute, short_locks.each):
        values = one.__defaults__
        assert values is not None
        patched = tuple(DEADLINE_SECONDS if value == 60.0 else value for value in values)
        monkeypatch.setattr(one, "__defaults__", patched)
    server.sql(TABLES)
    functions.make(server.postgres, "postgres")
    yield server
    server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS pgleap CASCADE")


class Held:
    """Clients that read and write a table all the time, each statement timed."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @property
    def longest(self) -> float:
        return max(self.seconds)


@contextmanager
def clients_at_work(it: Serving, *statements: str) -> Iterator[Held]:
    held, stop = Held(), threading.Event()

    def work(statement: str) -> None:
        with it.session() as session:
            while not stop.is_set():
                began = time.monotonic()
                session.say(statement)
                held.seconds.append(time.monotonic() - began)
                time.sleep(0.01)

    with ThreadPoolExecutor() as pool:
        at_work = [pool.submit(work, statement) for statement in statements]
        try:
            yield held
        finally:
            stop.set()
    for one in at_work:
        one.result()
    assert len(held.seconds) > 10


def refused(act: Callable[[], object]) -> tuple[Refusal, float]:
    began = time.monotonic()
    with pytest.raises(Refusal) as found:
        act()
    return found.value, time.monotonic() - began


def identities(it: Serving) -> str:
    return it.sql(
        "SELECT string_agg(relname || relreplident::text, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('busy', 'quiet')"
    )


def test_the_stream_is_taken_away_beside_a_long_reader(it: Serving) -> None:
    publisher.make_ready(it.postgres, [], 1)
    assert identities(it) == "busyf quietf"
    with it.session() as reader:
        reader.say("BEGIN; SELECT count(*) FROM busy;")
        with clients_at_work(it, "SELECT count(*) FROM busy;", "INSERT INTO busy VALUES (2, 'y');") as held:
            refusal, seconds = refused(lambda: publisher.take_away(it.postgres))
        assert held.longest < HELD_SECONDS
        assert seconds < DEADLINE_SECONDS + 4
        assert identities(it) == "busyf quietd"  # one busy table holds up none of the others
        assert it.sql("SELECT count(*) FROM pg_replication_slots") == "0"  # and no slot keeps WAL meanwhile
        pid = it.sql(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%count(*) FROM busy%' AND state = 'idle in transaction'"
        )
        assert f"table public.busy is held by process {pid} of postgres" in refusal.found
        assert f"SELECT pg_terminate_backend({pid});" in refusal.do
        reader.say("COMMIT;")
    changed = publisher.take_away(it.postgres)
    assert "took the publication of postgres away" in changed
    assert identities(it) == "busyd quietd"
    assert it.sql("SELECT count(*) FROM pg_publication") == "0"


def test_a_prepared_transaction_in_the_way_is_told(it: Serving) -> None:
    publisher.make_ready(it.postgres, [], 1)
    it.sql("BEGIN; INSERT INTO busy VALUES (3, 'z'); PREPARE TRANSACTION 'left behind'")
    refusal, _ = refused(lambda: publisher.take_away(it.postgres))
    assert "table public.busy is held by a prepared transaction (left behind)" in refusal.found
    it.sql("COMMIT PREPARED 'left behind'")
    publisher.take_away(it.postgres)
    assert identities(it) == "busyd quietd"


def test_it_goes_through_when_the_reader_ends_in_time(it: Serving) -> None:
    publisher.make_ready(it.postgres, [], 1)
    with it.session() as reader, ThreadPoolExecutor() as pool:
        reader.say("BEGIN; SELECT count(*) FROM busy;")
        taken = pool.submit(publisher.take_away, it.postgres)
        time.sleep(0.7)
        reader.say("COMMIT;")
        taken.result()
    assert identities(it) == "busyd quietd"


def test_functions_come_and_go_beside_whoever_grants(it: Serving) -> None:
    """A database's rights are one row: the second to change it waits for the first, and fails once that has committed."""
    it.sql(f"REVOKE ALL ON DATABASE postgres FROM PUBLIC, {READER}")
    for act in (lambda: functions.make(it.postgres, "postgres"), lambda: functions.drop(it.postgres)):
        with it.session() as granting, ThreadPoolExecutor() as pool:
            granting.say("BEGIN; GRANT TEMPORARY ON DATABASE postgres TO postgres;")
            done = pool.submit(act)
            time.sleep(0.5)
            granting.say("COMMIT;")
            done.result()
    assert it.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgleap'") == "0"
    it.sql("GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC")


def test_whoever_holds_a_role_or_a_right_is_told(it: Serving) -> None:
    it.sql(f"REVOKE ALL ON DATABASE postgres FROM PUBLIC, {READER}")
    with it.session() as granting:
        granting.say("BEGIN; GRANT TEMPORARY ON DATABASE postgres TO postgres;")
        refusal, _ = refused(lambda: functions.make(it.postgres, "postgres"))
        assert "a row is held by process" in refusal.found
        granting.say("ROLLBACK;")
    it.sql("GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC")


def test_a_subscription_that_somebody_else_alters_is_told(it: Serving) -> None:
    it.sql(
        f"CREATE SUBSCRIPTION {SUBSCRIPTION} CONNECTION 'host=127.0.0.1 port=1' PUBLICATION {SUBSCRIPTION}"
        " WITH (connect = false, slot_name = NONE)"
    )
    subscriber = Subscriber(it.postgres, OtherSide(it.postgres.server, "db-a", "127.0.0.1", 1, "psql"), 1)
    looks = "SELECT count(*) FROM pg_subscription;"
    with it.session() as other:
        other.say(f"BEGIN; ALTER SUBSCRIPTION {SUBSCRIPTION} SET (binary = true);")
        with clients_at_work(it, looks) as held:
            refusal, _ = refused(subscriber.drop)
        assert held.longest < HELD_SECONDS
        assert f"subscription {SUBSCRIPTION} is held by process" in refusal.found
        other.say("COMMIT;")
    assert subscriber.drop() == ["postgres follows DB_A no more"]


VIEWS = """CREATE MATERIALIZED VIEW plain AS SELECT count(*) AS n FROM quiet;
CREATE MATERIALIZED VIEW "by id" AS SELECT id FROM quiet; CREATE UNIQUE INDEX ON "by id" (id);
CREATE FUNCTION rate() RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM quiet';
CREATE MATERIALIZED VIEW broken AS SELECT 1 / (2 - count(*)) AS n FROM quiet;
CREATE MATERIALIZED VIEW last AS SELECT count(*) AS n FROM quiet; INSERT INTO quiet VALUES (1), (2);"""


def test_views_are_refreshed_one_by_one(it: Serving) -> None:
    it.sql(VIEWS)
    (left,) = views.refresh(it.postgres, "postgres")
    assert left.startswith("postgres: public.broken is as it was before cutover (division by zero)")
    assert it.sql("""SELECT (SELECT n FROM plain), (SELECT count(*) FROM "by id"), (SELECT n FROM last)""") == "2|2|2"


def test_a_view_that_is_read_for_long_is_told_and_its_readers_read(
    it: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "SECONDS", 2.0)
    it.sql(VIEWS)
    with it.session() as reader:
        reader.say("""BEGIN; SELECT * FROM plain; SELECT * FROM "by id";""")
        with clients_at_work(it, "SELECT * FROM plain;", """SELECT * FROM "by id";""") as held:
            left = views.refresh(it.postgres, "postgres")
        assert held.longest < HELD_SECONDS
        reader.say("COMMIT;")
    assert [line.split(" is as")[0] for line in left] == ["postgres: public.plain", "postgres: public.broken"]
    assert "materialized view public.plain is held by process" in left[0]
    assert it.sql("""SELECT (SELECT n FROM plain), (SELECT count(*) FROM "by id"), (SELECT n FROM last)""") == "0|2|2"


def test_a_view_over_a_function_that_needs_the_fleets_search_path(it: Serving) -> None:
    """From 17 on no session's search_path counts in a refresh; before, the fleet's refreshes have always had it."""
    it.sql(
        "CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM quiet'; INSERT INTO quiet VALUES (1)"
    )
    it.sql(
        "CREATE MATERIALIZED VIEW by_path AS SELECT total() AS n WITH NO DATA"
        + ("" if it.version >= 17 else "; REFRESH MATERIALIZED VIEW by_path")
    )
    it.sql("INSERT INTO quiet VALUES (2)")
    assert views.refresh(it.postgres, "postgres") == []
    if it.version < 17:
        assert it.sql("SELECT n FROM by_path") == "2"
