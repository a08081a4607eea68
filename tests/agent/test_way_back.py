"""What the way back after cutover is decided from, without a database."""

from __future__ import annotations

import pytest

from agent import catalog, comparison, copies, loss, publisher, subscriber, way_back

LOG = """\
2026-01-01 00:00:00 UTC [7] ERROR:  duplicate key value violates unique constraint "member_pkey"
2026-01-01 00:00:00 UTC [7] DETAIL:  Key (id)=(41) already exists.
2026-01-01 00:00:00 UTC [7] CONTEXT:  processing remote data for replication origin "pg_16400" during message type "INSERT" for replication target relation "public.member" in transaction 800, finished at 0/15A
2026-01-01 00:00:01 UTC [1] LOG:  subscription "pgleap_back" has been disabled because of an error
2026-01-01 00:00:02 UTC [9] ERROR:  relation "public.new" does not exist
2026-01-01 00:00:02 UTC [9] CONTEXT:  processing remote data for replication origin "pg_16401" during message type "RELATION"
"""


@pytest.mark.parametrize(
    ("subscription", "error"),
    [
        (
            16400,
            'duplicate key value violates unique constraint "member_pkey" in public.member: Key (id)=(41) already exists.',
        ),
        (16401, 'relation "public.new" does not exist'),
        (16402, None),
    ],
)
def test_the_row_in_the_way_is_read_from_the_log(subscription: int, error: str | None) -> None:
    """`It stopped` alone sends a tired person to a log on a server; another database's error sends them to the wrong row."""
    assert way_back.find_error(LOG, subscription) == error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ('duplicate key value violates unique constraint "member_pkey" in public.member', "mend that row here"),
        ("function helper(text) does not exist at character 1 in public.u", "ALTER FUNCTION ... SET search_path"),
        ('relation "audit" does not exist at character 13', "ALTER FUNCTION ... SET search_path"),
        ('type "mood" does not exist', "ALTER FUNCTION ... SET search_path"),
        ('logical replication target relation "public.new" does not exist', "make that table here"),
    ],
)
def test_what_helps_over_an_error_of_the_stream(error: str, words: str) -> None:
    """Whoever is sent to a row that is no row looks for it all night."""
    assert words in way_back.what_helps(error)
    assert ("no row" in way_back.what_helps(error)) is ("mend that row" not in words)


@pytest.mark.parametrize(
    ("databases", "short"),
    [
        (4, []),
        (5, ["max_logical_replication_workers"]),
        (12, ["max_logical_replication_workers", "max_worker_processes", "max_replication_slots"]),
    ],
)
def test_limits_that_are_too_low_are_named(databases: int, short: list[str]) -> None:
    """A database without a worker falls behind in silence; the limits can only be raised by a restart."""
    found = way_back.too_low(
        {"max_logical_replication_workers": 4, "max_worker_processes": 8, "origins": 10}, databases
    )
    assert [one.split()[0] for one in found] == short


def test_what_was_changed_on_db_a_is_named() -> None:
    """A way back that forgets a table is found out by whoever misses it."""
    before = {"": {"role app": "1"}, "shop": {"table a": "1", "table b": "1"}}
    now = {
        "": {"role app": "2", "database new": "1"},
        "shop": {"table a": "1", "table c": "1"},
        "new": {"table x": "1"},
    }
    assert catalog.differences(before, now) == [
        "database new was made",
        "role app was changed",
        "shop: table b was dropped",
        "shop: table c was made",
    ]
    assert catalog.differences(now, now) == []


def test_tables_are_compared_by_rows_and_by_content() -> None:
    """An UPDATE that found no row leaves the counts equal, and a lost INSERT does not."""
    here = {"a": (1, "x"), "b": (2, "x"), "c": (3, "x"), "d": (4, "x")}
    there = {"a": (1, "x"), "b": (5, "x"), "c": (3, "y"), "e": (4, "x")}
    assert comparison.compare("shop", here, there) == [
        "shop: b has 5 rows on DB_A and 2 here",
        "shop: c has other rows on DB_A than here",
        "shop: d is only on the old primary",
        "shop: e is only on DB_A",
    ]


def test_samples_are_kept_from_the_last_that_is_applied() -> None:
    """Without the last applied one nobody knows since when writes are missing."""
    samples = [[1.0, "0/10", 100], [2.0, "0/20", 110], [3.0, "0/30", 120]]
    assert copies.pruned(samples, "0/25") == samples[1:]
    assert copies.pruned(samples, "0/30") == samples[2:]
    assert copies.pruned(samples, None) == samples


@pytest.mark.parametrize(
    ("applied", "asked", "told"),
    [
        ("0/30", True, "nothing that was seen: all that DB_A had 7 s ago is applied here"),
        ("0/20", True, "at most 10 transactions, those since 8 s ago"),
        (None, True, "at most 20 transactions, those since 9 s ago"),
        (
            "0/20",
            False,
            "at most 10 transactions, those since 8 s ago; and whatever DB_A took in its last seconds, at least since 7 s ago",
        ),
    ],
)
def test_the_loss_is_told_in_transactions_and_seconds(applied: str | None, asked: bool, told: str) -> None:
    """Whoever accepts a loss must know how much."""
    samples = [[1.0, "0/10", 100], [2.0, "0/20", 110], [3.0, "0/30", 120]]
    assert loss.sentence(samples, applied, 10.0, asked) == told


def test_a_loss_that_nobody_can_tell_is_called_so() -> None:
    """An invented nothing would be accepted."""
    assert "nobody knows" in loss.sentence([], None, 10.0, asked=False)


@pytest.mark.parametrize("name", ["shop", "Größe", "a" * 63, "x-y", "x_y"])
def test_a_slots_name_is_one_that_postgresql_takes(name: str) -> None:
    """Two databases with one slot would share one stream."""
    slot = publisher.slot_of(name)
    assert len(slot) <= 63
    assert set(slot) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert slot != publisher.slot_of(f"{name}2")
    assert publisher.slot_of("x-y") != publisher.slot_of("x_y")


def test_positions_are_compared_as_numbers() -> None:
    """As text 0/9 would come after 0/10, and F/0 after 10/0."""
    assert subscriber.reached("0/10", "0/9")
    assert subscriber.reached("10/0", "F/FFFFFFFF")
    assert not subscriber.reached("0/9", "0/10")
    assert not subscriber.reached(None, "0/1")
