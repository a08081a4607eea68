"""What equal row counts hide on the way back, on an old primary and a DB_A of the test's own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from agent import comparison, functions, publisher
from agent.subscriber import Subscriber
from tests.agent.two_sides import NEEDS_POSTGRESQL, Sides, two_sides

pytestmark = NEEDS_POSTGRESQL
PATIENCE_SECONDS = 30
TABLES = """
CREATE TABLE anew (id int PRIMARY KEY, v text); INSERT INTO anew VALUES (1, 'a');
CREATE TABLE packed (id int PRIMARY KEY, v text); INSERT INTO packed SELECT n, 'x' FROM generate_series(1, 100) n;
CREATE TABLE emptied (id int PRIMARY KEY); INSERT INTO emptied VALUES (1);
CREATE TABLE "Loose 'n' %" (n numeric, v text); INSERT INTO "Loose 'n' %" VALUES (1.0, 'x'), (1.00, 'x');
CREATE TABLE keyed (id int PRIMARY KEY, n numeric); INSERT INTO keyed VALUES (1, 1.0);
"""


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with two_sides() as found:
        for side in (found.old, found.new):
            functions.make(side.postgres, "postgres")
        yield found


@pytest.mark.parametrize(
    ("act", "compared", "told"),
    [
        (
            "ALTER TABLE anew ALTER v TYPE text USING upper(v) || '-rewritten'",
            {"anew"},
            ["shop: public.anew has other rows on DB_A than here"],
        ),
        ("VACUUM FULL packed", {"packed"}, []),
        ("CLUSTER packed USING packed_pkey; ALTER TABLE packed SET WITHOUT CLUSTER", {"packed"}, []),
        ("TRUNCATE emptied; INSERT INTO emptied VALUES (7)", {"emptied"}, []),
        ("UPDATE packed SET v = 'y'; UPDATE keyed SET n = 2.00", set(), []),
        (
            """UPDATE "Loose 'n' %" SET v = 'y' WHERE n::text = '1.00'""",
            set(),
            ["""shop: public."Loose 'n' %" has other rows on DB_A than here"""],
        ),
    ],
)
def test_contents_are_compared_where_counts_prove_nothing(
    sides: Sides, act: str, compared: set[str], told: list[str]
) -> None:
    """ALTER TABLE ... USING changes every row and none is carried; without a key another row than DB_A's may get the update."""
    sides.make_database("shop")
    for side in (sides.old, sides.new):
        side.database.sql(TABLES, "shop")
    publisher.make_ready(sides.new.postgres, [], 1)
    subscriber = Subscriber(sides.old.postgres, sides.new.other(), 1)
    subscriber.subscribe()
    try:
        for one in act.split("; "):
            sides.new.database.sql(one, "shop")
        sides.new.database.sql("INSERT INTO keyed VALUES (99, 1)", "shop")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while sides.old.database.sql("SELECT count(*) FROM keyed", "shop") != "2\n":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        since = publisher.since(sides.new.postgres, 1)
        # PostgreSQL writes the column's row in its catalog anew as well.
        assert since.changes == (["shop: table public.anew was changed"] if "USING upper" in act else [])
        assert set(since.compare) == {("shop", "public", name) for name in compared | {"Loose 'n' %"}}
        databases = ["postgres", "shop"]
        difference = comparison.differing(sides.old.postgres, sides.new.other(), databases, False, 2, since.compare)
        assert difference.tables == told
    finally:
        subscriber.drop()
        publisher.take_away(sides.new.postgres)
        sides.both("DROP DATABASE shop WITH (FORCE)")
