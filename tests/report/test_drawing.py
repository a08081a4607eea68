"""Where things stand in the pictures."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.report import bars, timeline
from rehearsal.report.axis import MOST_TICKS, Axis, clock
from rehearsal.report.model import Latency, Report
from rehearsal.report.svg import markup, rows
from tests.report import made_up

REPORT = Report.model_validate_json(made_up.FILE.read_text())
EXTENTS = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 300)), max_size=60)


@given(EXTENTS)
def test_nothing_in_a_row_covers_what_stands_there(found: list[tuple[int, int]]) -> None:
    """Two steps side by side drawn over each other would be read as one."""
    extents = sorted((float(begin), float(begin + width)) for begin, width in found)
    placed = list(zip(rows(extents), extents, strict=True))
    for index, (row, (begin, _)) in enumerate(placed):
        assert all(end <= begin for other, (_, end) in placed[:index] if other == row)


@given(st.floats(0.5, 80_000))
def test_ticks_are_neither_none_nor_too_many(seconds: float) -> None:
    """Times printed over each other cannot be read, and an axis without one has no scale."""
    axis = Axis(made_up.BEGAN, made_up.BEGAN + seconds, 0, 1000, zero=made_up.BEGAN)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= MOST_TICKS + 1
    assert all(axis.since <= one <= axis.until + 1e-6 for one in ticks)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (-4, "-4 s"), (0.5, "0.5 s"), (60, "1:00"), (-75, "-1:15"), (3_725, "1:02:05")]
)
def test_times_as_people_say_them(seconds: float, said: str) -> None:
    """A minute read as a second, or the other way round."""
    assert clock(seconds) == said


def test_a_step_that_never_ended_is_drawn_to_the_end_of_its_move() -> None:
    """The step that an engine died in must not be missing from the pictures, or have a length that nobody measured."""
    move = REPORT.moves[1]
    stuck = move.steps[-1].model_copy(update={"ended": None})
    moves = [REPORT.moves[0], move.model_copy(update={"steps": [*move.steps[:-1], stuck]}), *REPORT.moves[2:]]
    assert f"{stuck.name}: not ended" in bars.steps(moves[1])
    report = REPORT.model_copy(update={"moves": moves})
    for picture in (timeline.whole(report), timeline.close_up(report)):
        assert picture is not None
        assert f"{stuck.name}: not ended" in markup(picture)


def test_a_step_that_failed_does_not_look_like_one_that_went_well() -> None:
    """Told apart by more than colour: it is hollow."""
    move = REPORT.moves[1]
    failed = move.steps[0].model_copy(update={"failed": True})
    picture = bars.steps(move.model_copy(update={"steps": [failed, *move.steps[1:]]}))
    assert picture.count('class="step failed"') == 1
    assert "s, failed" in picture


def test_steps_past_the_right_edge_bear_their_names_inside() -> None:
    """Names that run out of the picture are cut off by the page."""
    picture = timeline.close_up(REPORT)
    assert picture is not None
    widest = re.findall(r'class="step-name" x="([\d.]+)"[^>]*text-anchor="(\w+)">([^<]+)', markup(picture))
    assert widest
    for x, anchor, name in widest:
        assert float(x) + (len(name) * 5.6 if anchor == "start" else 0) <= timeline.WIDTH


def test_latencies_of_any_size_stay_inside() -> None:
    """A read of half a minute and one of microseconds are on the same scale."""
    found = [
        Latency(span="before", client="connect", kind="read", count=9, p50=0.01, p95=5, p99=30_000, slowest=31_000)
    ]
    xs = [float(x) for x in re.findall(r'(?:x1|x2|cx)="([\d.]+)"', bars.latencies(found))]
    assert all(bars.LATENCY_LEFT <= x <= bars.RIGHT + 0.1 for x in xs)
    assert "latencies" in bars.latencies([])
