"""The forecast on trial: what is said of it."""

from __future__ import annotations

import pytest

from rehearsal.report.model import Machine
from rehearsal.trials import seen
from rehearsal.trials.seen import Seen, Trials, Window
from scripts.forecast.run import Run
from tests.forecast.windows import shape

MACHINE = Machine(system="made up", kernel="6", processor="made up", cores=2, memory=24 * 2**30)


def trial(name: str, median: float, refused: float, *, held_out: bool = True) -> Seen:
    run = Run(at=1, stack="lab", ended="cutover", shape=shape(), parts={"upgrade: target database": refused})
    three = [
        Window(rests_on=8, median=median, bad=median * 1.4, refused=seconds, run=run)
        for seconds in (refused - 5, refused, refused + 50)
    ]
    return Seen(name=name, held_out=held_out, windows=three)


def test_a_forecast_too_far_off_is_a_complaint_and_only_where_it_was_held_out() -> None:
    """Trials that nobody can fail would show nothing."""
    found = Trials(
        machine=MACHINE,
        seen=[
            trial("close", 12.9, 10),
            trial("too long", 13.1, 10),
            trial("too short", 6.9, 10),
            trial("taught", 99, 10, held_out=False),
        ],
    )
    assert found.complaints() == [
        "too long: expected 13.1 s, within 30% of it; found 10.0 s",
        "too short: expected 6.9 s, within 30% of it; found 10.0 s",
    ]


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    """Trials of twenty minutes, written nowhere."""
    with pytest.raises(ValueError, match="expected <!-- trials"):
        seen.with_table("# A page\n", Trials(machine=MACHINE, seen=[]))
