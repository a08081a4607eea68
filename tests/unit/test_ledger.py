"""The reconciliation of logs and ledgers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rehearsal.traffic.ledger import Entries, entries, reconcile
from rehearsal.traffic.log import Operation, Outcome


def write(entry: str, outcome: Outcome, database: str = "shop") -> Operation:
    return Operation(
        "web1", "connect", "write", "db1", database, 1.0, 2.0, outcome == "acknowledged", id=entry, outcome=outcome
    )


def test_every_way_that_a_write_can_end_is_told_apart() -> None:
    """A lost write must not hide among those whose client was never told that they were done."""
    operations = [
        write("a", "acknowledged"),
        write("b", "acknowledged"),
        write("c", "unknown"),
        write("d", "unknown"),
        write("e", "failed"),
        write("f", "failed"),
    ]
    result = reconcile(operations, {"shop": Entries(frozenset("acef"))})
    assert [one.id for one in result.missing] == ["b"]
    assert [one.id for one in result.unknown_present] == ["c"]
    assert [one.id for one in result.unknown_absent] == ["d"]
    assert [one.id for one in result.failed_present] == ["e", "f"]
    assert (result.acknowledged, result.found, result.whole) == (2, 1, False)


def test_a_write_is_looked_for_in_the_database_that_it_went_to() -> None:
    """An id found in another database's ledger must not make up for the one that is gone."""
    result = reconcile([write("a", "acknowledged", "metrics")], {"shop": Entries(frozenset("a")), "metrics": Entries()})
    assert [one.id for one in result.missing] == ["a"]
    assert result.strangers == {"shop": frozenset("a")}


def test_a_database_without_a_ledger_holds_nothing() -> None:
    """A ledger that nobody read must not count as one in which everything was found."""
    assert not reconcile([write("a", "acknowledged", "forum")], {"shop": Entries(frozenset("a"))}).whole


def test_a_torn_write_is_no_whole_one() -> None:
    """A row in the ledger whose order is gone must not pass for a write that was kept."""
    result = reconcile([write("a", "acknowledged")], {"shop": Entries(frozenset("a"), torn=frozenset("a"))})
    assert [one.id for one in result.torn] == ["a"]
    assert not result.missing
    assert not result.whole


def test_unknown_writes_alone_are_no_loss() -> None:
    """A connection cut during COMMIT must not fail the rehearsal: nobody was promised anything."""
    assert reconcile([write("a", "unknown"), write("b", "acknowledged")], {"shop": Entries(frozenset("b"))}).whole


def test_entries_are_read_from_every_database() -> None:
    """A ledger's `f` for a torn entry must not be read as an id, nor an id's row be skipped."""
    printed = {"shop": "a|t\nb|f\n", "metrics": ""}
    assert entries(lambda database, _: printed[database], ["shop", "metrics"]) == {
        "shop": Entries(frozenset("ab"), frozenset("b")),
        "metrics": Entries(),
    }


@given(
    st.dictionaries(st.uuids().map(str), st.sampled_from(["acknowledged", "failed", "unknown"])),
    st.sets(st.uuids().map(str)),
    st.randoms(use_true_random=False),
)
def test_every_write_is_counted_once(outcomes: dict[str, Outcome], others: set[str], chance: object) -> None:
    """No write may fall between the classes, and none may be in two, whatever is in the ledger."""
    present = frozenset(entry for entry in outcomes if chance.random() < 0.5) | others  # type: ignore[attr-defined]
    result = reconcile([write(entry, outcome) for entry, outcome in outcomes.items()], {"shop": Entries(present)})
    acknowledged = {entry for entry, outcome in outcomes.items() if outcome == "acknowledged"}
    assert {one.id for one in result.missing} == acknowledged - present
    assert result.found == len(acknowledged & present)
    unknown = [one.id for one in result.unknown_present + result.unknown_absent]
    assert sorted(filter(None, unknown)) == sorted(entry for entry, outcome in outcomes.items() if outcome == "unknown")
    assert result.strangers.get("shop", frozenset()) == present - outcomes.keys()
