"""Operations in buckets, and percentiles."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.rehearse import JUDGED, ONLINE
from rehearsal.report import count
from rehearsal.report.model import Spell
from tests.report import made_up

MADE_UP = made_up.operations()


def test_the_buckets_hold_what_the_logs_hold() -> None:
    """An operation that falls between two buckets, or into both, would be a failure that nobody sees, or one that never was."""
    counted = count.traffic(MADE_UP, made_up.ADDRESSES, ONLINE, JUDGED)
    wanted = Counter((one.server, one.kind, one.ok) for one in MADE_UP)
    for lane in (lane for lane in counted.lanes if lane.side == "client"):
        assert sum(lane.succeeded) == wanted.pop((lane.server, lane.kind, True), 0)
        assert sum(lane.failed) == wanted.pop((lane.server, lane.kind, False), 0)
    assert wanted == {}
    answered = Counter((one.address, one.kind, one.ok) for one in MADE_UP if one.address)
    for lane in (lane for lane in counted.lanes if lane.side == "database"):
        assert sum(lane.succeeded) == answered.pop((made_up.ADDRESSES[lane.server], lane.kind, True), 0)
        assert sum(lane.failed) == answered.pop((made_up.ADDRESSES[lane.server], lane.kind, False), 0)
    assert answered == {}


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=40))
def test_each_operation_is_in_the_bucket_in_which_it_started(milliseconds: list[int]) -> None:
    """A tenth of a second is no number that a computer knows: an operation at 0.3 s must not be drawn at 0.2."""
    operations = [replace(MADE_UP[0], start=made_up.BEGAN + one / 1000) for one in milliseconds]
    counted = count.traffic(operations, made_up.ADDRESSES, ONLINE, JUDGED)
    first = min(milliseconds) // 100
    assert counted.began == pytest.approx(made_up.BEGAN + first / 10)
    lane = counted.lanes[0]
    assert Counter({index: number for index, number in enumerate(lane.succeeded) if number}) == Counter(
        one // 100 - first for one in milliseconds
    )


def test_failures_lie_in_the_outage() -> None:
    """A failed write drawn outside the shade would say that the outage was longer than the figure beside it."""
    report = made_up.report()
    assert report.window is not None
    assert report.window.until is not None
    lane = next(lane for lane in report.traffic.lanes if (lane.server, lane.kind) == ("web1", "write"))
    failed = [report.traffic.began + index / 10 for index, number in enumerate(lane.failed) if number]
    assert min(failed) >= report.window.since - 0.1
    assert max(failed) <= report.window.until


def test_an_answer_from_nowhere_is_said() -> None:
    """What a server that is not of the fleet answered must not vanish from the databases' lanes."""
    stray = replace(MADE_UP[0], address="198.51.100.7")
    with pytest.raises(ValueError, match=r"198\.51\.100\.7"):
        count.traffic([stray], made_up.ADDRESSES, ONLINE, JUDGED)


def test_a_run_without_traffic_is_no_quiet_run() -> None:
    """An empty timeline would look like one without a failure."""
    with pytest.raises(ValueError, match="found none"):
        count.traffic([], made_up.ADDRESSES, ONLINE, JUDGED)


def test_latencies_are_of_what_succeeded_on_online_servers_in_each_span() -> None:
    """Refusals come back fast: counted in, an outage would look like the fastest time of the night."""
    window = Spell(since=made_up.BEGAN + 8, until=made_up.BEGAN + 12, seconds=4, refused=1)
    found = count.latencies(MADE_UP, ONLINE, window)
    assert {(one.kind, one.span) for one in found} == {
        ("read", "before"), ("read", "during"), ("read", "after"), ("write", "before"), ("write", "after")
    }  # fmt: skip
    assert sum(one.count for one in found) == sum(1 for one in MADE_UP if one.ok and one.server in ONLINE)
    assert all(one.p50 <= one.p95 <= one.p99 <= one.slowest for one in found)


def test_percentiles_are_values_that_were_seen() -> None:
    """Between two values an average would tell of a wait that nobody had."""
    values = [float(one) for one in range(1, 101)]
    assert [count.percentile(values, percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert count.percentile([7.0], 50) == count.percentile([7.0], 99) == 7
    assert count.percentile([1.0, 9.0], 95) == 9
