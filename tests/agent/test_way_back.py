"""What the way back after cutover is decided from, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from agent import catalog, comparison, copies, functions, loss, publisher, subscriber, way_back
from agent.journal import Fence
from agent.past import Bounds, past, start
from agent.qualified import Qualified, named_by
from agent.report import Refusal
from agent.sequences import Value
from agent.subscriber import Behind, Subscriber

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
    a, b, c, d, e = (Qualified("s", name) for name in "abcde")
    here = {a: (1, "x"), b: (2, "x"), c: (3, "x"), d: (4, "x")}
    there = {a: (1, "x"), b: (5, "x"), c: (3, "y"), e: (4, "x")}
    assert comparison.compare("shop", here, there) == [
        "shop: s.d is only on the old primary",
        "shop: s.e is only on DB_A",
        "shop: s.b has 5 rows on DB_A and 2 here",
        "shop: s.c has other rows on DB_A than here",
    ]


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ('{"asked": 2}\n[["public", "t", 1, ""]]\n{"asked": 0}', "the tables in shop"),
        ('{"asked": 0}\n{"asked": 3}\n[["public", "s", 1, true]]', "the sequences in shop"),
        (functions.WITHOUT, "the functions of the schema pgleap in shop"),
    ],
)
def test_what_was_not_answered_for_is_not_called_equal(printed: str, words: str) -> None:
    """Two sides that each leave the same table out are alike, and one of them may have lost it."""
    with pytest.raises(Refusal) as refused:
        comparison.held(printed, "shop")
    assert words in refused.value.expected


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


@dataclass(frozen=True)
class Told(Subscriber):
    """A subscriber that was told how far one database came: DB_A's slot, and what was applied here."""

    confirmed: str = "0/300"
    applied: str | None = None

    def by_database(self) -> list[tuple[str, dict[str, Any] | None, dict[str, Any] | None]]:
        return [
            ("shop", {"confirmed": self.confirmed, "status": "reserved"}, {"enabled": True, "applied": self.applied})
        ]


def test_more_than_db_a_has_ever_written_is_of_an_older_image() -> None:
    """Put back while it was open its journal is the same: what it took since has positions that were applied before, and is passed over in silence."""

    def behind(applied: str | None) -> Behind | None:
        return Told(None, None, 1, applied=applied).behind(Fence(1, "0/200"))  # type: ignore[arg-type] # nobody is asked

    assert behind(None) is behind("0/1FF") is behind("0/200") is None
    found = behind("0/201")
    assert found is not None
    assert found.gone
    assert "shop has applied up to 0/201, which DB_A has not come to" in found.found


def test_positions_are_compared_as_numbers() -> None:
    """As text 0/9 would come after 0/10, and F/0 after 10/0."""
    assert subscriber.reached("0/10", "0/9")
    assert subscriber.reached("10/0", "F/FFFFFFFF")
    assert not subscriber.reached("0/9", "0/10")
    assert not subscriber.reached(None, "0/1")


UP, DOWN = Bounds(1, 1, 32_767, cycles=False), Bounds(-2, -100_000, -1, cycles=False)


@pytest.mark.parametrize(
    ("bounds", "value", "column", "wanted"),
    [
        (Bounds(1, 1, 2**63 - 1, cycles=False), 41, None, 10_041),
        (UP, 100, None, 10_100),
        (UP, 30_767, None, 31_767),  # half of what is left
        (UP, 32_766, None, 32_766),
        (UP, 32_767, None, 32_767),
        (UP, 100, 11_000, 11_000),
        (UP, 100, 50, 10_100),
        (DOWN, -21, None, -20_021),
        (DOWN, -99_001, None, -99_499),
        (DOWN, -21, -30_001, -30_001),
        (Bounds(7, 1, 100, cycles=False), 50, None, 71),
        (Bounds(1, 1, 10, cycles=True), 9, None, 9),
        (Bounds(1, 1, 10, cycles=True), 2, 10, 6),
        (Bounds(5, -(2**63), 2**63 - 1, cycles=False), 2**63 - 11, None, 2**63 - 6),
    ],
)
def test_a_sequence_is_never_set_to_its_end(bounds: Bounds, value: int, column: int | None, wanted: int) -> None:
    """`nextval: reached maximum value` for the first INSERT after the way back."""
    assert past(bounds, value, column) == wanted
    assert bounds.minimum <= wanted <= bounds.maximum
    assert bounds.left(wanted) >= bounds.left(value) // 2


def test_a_sequence_starts_from_the_later_of_what_is_known() -> None:
    """What was applied here may be later than the last copy, and the copy later than what was here before."""
    assert start(UP, Value(5, True), Value(9, True)) == start(UP, Value(9, True), Value(5, True)) == 9
    assert start(DOWN, Value(-5, True), Value(-9, True)) == -9
    assert start(Bounds(1, 1, 10, cycles=True), Value(9, True), Value(2, True)) == 2
    assert start(UP, Value(5, True), None) == 5
    assert start(UP, None, None) is None
    assert start(UP, Value(5, True), Value(3_000_000_000, True)) == 32_767


def test_a_database_that_nobody_writes_to_is_not_behind() -> None:
    """`at most 36271 transactions` were told to be lost, of which every one had been applied."""
    found: dict[str, dict[str, Any]] = {"busy": {"applied": "0/30"}, "idle": {"applied": None}}
    slots = {publisher.slot_of("busy"): {"confirmed": "0/40"}, publisher.slot_of("idle"): {"confirmed": "0/40"}}
    assert copies.arrived(found, slots, None) == "0/40"
    assert copies.arrived(found, {}, None) is None
    assert copies.arrived(found, {}, "0/20") == "0/20"
    assert copies.arrived({"busy": {"applied": "0/30"}}, {}, "0/20") == "0/30"


TABLES = [Qualified("public", name) for name in ("json", "Orders", "orders", "a.b", 'q"q', "log")]


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ("shop.public.json", ["json"]),
        ('shop.public."json"', ["json"]),
        ('"shop"."public"."json"', ["json"]),
        ("SHOP.Public.JSON", ["json"]),
        ("shop.public.Orders", ["Orders"]),
        ("shop.public.orders", ["orders"]),
        ("shop.public.LOG", ["log"]),
        ('shop.public."LOG"', []),
        ("shop.public.a.b", ["a.b"]),
        ('shop.public."a.b"', ["a.b"]),
        ('shop.public."q""q"', ['q"q']),
        ('shop.public.q"q', ['q"q']),
        ("shop.public.missing", []),
        ("forum.public.json", []),
    ],
)
def test_a_table_is_left_out_however_its_name_is_quoted(entry: str, names: list[str]) -> None:
    """15 writes public.json and 17 public."json": a table of which preflight said that it is left out was carried, or the other way round."""
    assert named_by([entry], "shop", TABLES) == {entry: {Qualified("public", name) for name in names}}


def test_parts_with_dots_are_names_too() -> None:
    """A database may be called after a host."""
    assert named_by(["my.shop.public.t", '"my.shop".public.t'], "my.shop", [Qualified("public", "t")]) == {
        "my.shop.public.t": {Qualified("public", "t")},
        '"my.shop".public.t': {Qualified("public", "t")},
    }
