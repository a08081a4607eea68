"""The write outage, reckoned from made-up logs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.traffic.log import Operation, Outcome
from rehearsal.traffic.outage import outage, spells


def write(
    start: float, *, ok: bool = True, server: str = "web1", client: str = "connect", took: float = 0.1
) -> Operation:
    outcome: Outcome = "acknowledged" if ok else "failed"
    return Operation(server, client, "write", "db1", "shop", start, start + took, ok, id=str(start), outcome=outcome)


def test_the_window_ends_with_the_last_server() -> None:
    """The first server that writes again must not end an outage that another one's clients still have."""
    operations = [
        *(write(start, server=server) for start in (1, 2) for server in ("web1", "web2")),
        write(3, ok=False, server="web1"),
        write(3.5, ok=False, server="web2"),
        write(5, server="web1"),
        write(8, ok=False, server="web2"),
        write(9, server="web2"),
    ]
    found = outage(operations, ["web1", "web2"])
    assert found.window is not None
    assert (found.window.since, found.window.until, found.window.refused) == (3, 9.1, 3)
    assert found.servers["web1"] is not None
    assert found.servers["web1"].seconds == pytest.approx(2.1)
    assert found.servers["web2"] is not None
    assert found.servers["web2"].seconds == pytest.approx(5.6)


def test_a_server_accepts_again_when_all_its_clients_do() -> None:
    """A pool that stays on the wrong database must not be hidden by a client that connects anew each time."""
    operations = [
        write(1, ok=False),
        write(1, ok=False, client="testing-pool"),
        write(2),
        write(4, ok=False, client="testing-pool"),
        write(6, client="testing-pool"),
    ]
    window = outage(operations, ["web1"]).window
    assert window is not None
    assert (window.since, window.until) == (1, 6.1)


def test_an_outage_that_has_not_ended_says_so() -> None:
    """A log that stops in the middle of the outage must not read as a short one."""
    window = outage([write(1), write(2, ok=False), write(7, ok=False)], ["web1"]).window
    assert window is not None
    assert window.until is None
    assert window.seconds == pytest.approx(5.1)


def test_one_server_that_never_accepts_again_keeps_the_window_open() -> None:
    """The end on one server must not be taken for everybody's."""
    operations = [write(1, ok=False), write(2), write(1, ok=False, server="web2"), write(3, ok=False, server="web2")]
    window = outage(operations, ["web1", "web2"]).window
    assert window is not None
    assert window.until is None


def test_no_refusal_is_no_outage() -> None:
    """A write that waited and was then done is no refusal; the wait is told apart, or nobody would see it."""
    found = outage([write(1), write(2, took=4)], ["web1"])
    assert found.window is None
    assert found.servers == {"web1": None}
    assert found.slowest == pytest.approx(4)


def test_drained_servers_and_other_times_do_not_count() -> None:
    """A drained server's clients are refused for long, and another move's outage is not this one's."""
    operations = [write(1, ok=False), write(2), write(3, ok=False, server="web3"), write(11, ok=False), write(12)]
    window = outage(operations, ["web1"], since=10).window
    assert window is not None
    assert (window.since, window.until) == (11, 12.1)


def test_a_server_without_writes_is_an_error() -> None:
    """Clients that never ran must not look like clients that were never refused."""
    with pytest.raises(ValueError, match="writes by clients on web2"):
        outage([write(1)], ["web1", "web2"])


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_spells_hold_every_refused_write_and_no_other(answers: list[bool]) -> None:
    """Whatever the order of answers, refused writes must not get lost between spells, nor accepted ones get in."""
    operations = [write(float(number), ok=ok) for number, ok in enumerate(answers)]
    found = spells(operations)
    assert sum(spell.refused for spell in found) == answers.count(False)
    for one in operations:
        inside = [spell for spell in found if spell.since <= one.start and one.end < (spell.until or float("inf"))]
        assert len(inside) == (0 if one.ok else 1)
    assert [spell.until for spell in found[:-1]] == [spell.until for spell in found[:-1] if spell.until is not None]
