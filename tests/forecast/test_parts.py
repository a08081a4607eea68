"""The outage laid out by what it waited for, and the file that is kept of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.forecast.parts import Span, laid_out, part_name
from scripts.forecast.run import keep, kept
from tests.forecast.windows import run, shape

SPANS = st.lists(
    st.builds(
        lambda part, began, took: Span(part, began, began + took),
        st.sampled_from(["readonly: a", "upgrade: b", "cutover: c"]),
        st.floats(0, 50),
        st.floats(0, 30),
    ),
    max_size=8,
)


@given(SPANS, st.floats(0, 40), st.floats(0, 40))
def test_the_parts_are_the_outage(spans: list[Span], since: float, lasted: float) -> None:
    """Time that belongs to no part is forecast by nobody; time that belongs to two is forecast twice."""
    found = laid_out(spans, since, since + lasted, "cutover")
    assert sum(found.values()) == pytest.approx(lasted)
    assert all(seconds > 0 for seconds in found.values())


def test_an_outage_waits_for_the_step_under_way_for_longest() -> None:
    """What runs beside another step would be counted as if the outage were longer by it."""
    spans = [
        Span("readonly: primary client-gate", 8.0, 11.0),
        Span("upgrade: target database", 13.0, 23.0),
        Span("upgrade: worker offline-tasks", 14.0, 16.0),
        Span("cutover: online hosts-file", 25.0, 26.0),
        Span("cutover: online hosts-file", 25.5, 27.0),
    ]
    assert laid_out(spans, 10.0, 27.0, "cutover") == {
        "readonly: primary client-gate": 1.0,
        "upgrade: the engine": 2.0,
        "upgrade: target database": 10.0,
        "cutover: the engine": 2.0,
        "cutover: online hosts-file": 2.0,
    }


def test_a_step_has_the_same_name_in_every_fleet() -> None:
    """Figures of a fleet whose DB_A is called otherwise would be of no use."""
    roles = {"db": "replica", "db-a": "target", "web1": "online"}
    assert part_name("upgrade", "db-a-database", roles) == "upgrade: target database"
    assert part_name("cutover", "web1-hosts-file", roles) == "cutover: online hosts-file"
    assert part_name("cutover", "db-sessions-web1", roles) == "cutover: replica sessions-online"


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    """A line that a full disk cut in two would take the forecast, or all runs before it, with it; one that went back is no window."""
    file = tmp_path / "here" / "windows.jsonl"
    assert kept([file]) == ([], 0)
    first, second = (run(shape(databases=count), random.Random(count)) for count in (3, 4))
    keep(file, first)
    keep(file, run(shape(), random.Random(1), ended="back"))
    with file.open("a") as cut:
        cut.write('{"at": 1.0, "stack"\n')
    keep(file, second)
    assert kept([file, tmp_path / "none"]) == ([first, second], 1)
