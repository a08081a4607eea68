"""Comparing fingerprints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.data.compare import Content, Digest, Sequence, differences, emptied, parse

ROWS = Digest(3, 17, 19)
EMPTY = Digest(0, 0, 0)


def test_equal_contents_differ_in_nothing() -> None:
    """A comparison that always finds something would soon be ignored."""
    content = Content({"a": ROWS}, {"u": ROWS}, {"m": ROWS}, {"1": ROWS}, {"s": Sequence(5, 1)})
    assert differences({"shop": content}, {"shop": content}) == []


@pytest.mark.parametrize("kind", ["tables", "materialized", "large_objects", "unlogged"])
@pytest.mark.parametrize("other", [{"a": Digest(3, 17, 20)}, {"a": Digest(3, 18, 19)}, {"a": Digest(4, 17, 19)}, {}])
def test_every_part_is_compared(kind: str, other: dict[str, Digest]) -> None:
    """A part that is read and never compared would lose rows in silence."""
    before, after = Content(), Content()
    getattr(before, kind).update({"a": ROWS})
    getattr(after, kind).update(other)
    found = differences({"shop": before}, {"shop": after})
    assert len(found) == 1
    assert found[0].startswith("shop: ")
    assert differences({"shop": after}, {"shop": before})


def test_a_database_or_sequence_that_is_gone_is_named() -> None:
    """What is on one side only has nothing to be compared with, and must be said all the same."""
    assert differences({"shop": Content()}, {}) == ["shop: the database is only there before"]
    assert differences({}, {"shop": Content()}) == ["shop: the database is only there after"]
    assert differences({"shop": Content(sequences={"s": Sequence(1, 1)})}, {"shop": Content()}) == [
        "shop: sequence s is only there before"
    ]


def test_an_emptied_unlogged_table_is_no_difference_and_is_told_apart() -> None:
    """A table that is logged must not be let off as an unlogged one is."""
    before, after = {"shop": Content(unlogged={"u": ROWS})}, {"shop": Content(unlogged={"u": EMPTY})}
    assert differences(before, after) == []
    assert emptied(before, after) == ["shop: u"]
    assert differences({"shop": Content(tables={"u": ROWS})}, {"shop": Content(tables={"u": EMPTY})})


@pytest.mark.parametrize(
    ("old", "new", "went_back"),
    [
        (Sequence(10, 1), Sequence(42, 1), False),
        (Sequence(10, 1), Sequence(9, 1), True),
        (Sequence(10, 1), Sequence(None, 1), True),
        (Sequence(None, 1), Sequence(None, 1), False),
        (Sequence(None, 1), Sequence(1, 1), False),
        (Sequence(10, -2), Sequence(8, -2), False),
        (Sequence(10, -2), Sequence(12, -2), True),
    ],
)
def test_sequences_go_on_in_their_own_direction(old: Sequence, new: Sequence, went_back: bool) -> None:
    """A sequence that goes back gives numbers out twice; one that counts down goes on by falling."""
    found = differences({"shop": Content(sequences={"s": old})}, {"shop": Content(sequences={"s": new})})
    assert bool(found) == went_back


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), st.integers(), st.integers(0))
def test_names_with_separators_are_read_back(name: str, hashes: int, rows: int) -> None:
    """A name with psql's separator in it must not be cut, or two tables could become one."""
    printed = f"tables|{name}|{rows}|{hashes}|-5\nsequences|{name}||1\nsequences|{name}2|7|-2\n"
    content = parse(printed)
    assert content.tables == {name: Digest(rows, hashes, -5)}
    assert content.sequences == {name: Sequence(None, 1), f"{name}2": Sequence(7, -2)}


def test_a_line_that_cannot_be_read_is_an_error() -> None:
    """Something else on psql's output must not be passed over as if it were nothing."""
    with pytest.raises(ValueError, match="WARNING"):
        parse("WARNING: something\n")
