"""The forecast on trial: what is said of it."""

from __future__ import annotations

import pytest

from rehearsal.report.model import Machine
from rehearsal.trials import seen
from rehearsal.trials.seen import Seen, Trials, Window
from scripts.forecast.forecast import forecast
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


def test_the_page_says_what_was_kept() -> None:
    """A table that nobody made again is of other windows than the ones that were."""
    page = seen.PAGE.read_text(encoding="utf-8")
    assert seen.with_table(page, seen.read()) == page


def test_the_shapes_that_were_held_out_are_forecast_closely_enough() -> None:
    """The page would go on calling the forecast good."""
    kept = seen.read()
    held_out = [one for one in kept.seen if one.held_out]
    assert len(held_out) >= 3
    assert all(len(one.windows) >= 3 for one in held_out)
    assert kept.complaints() == []


def test_a_change_of_the_model_is_held_against_the_windows_that_were() -> None:
    """Each forecast that was kept comes of the windows it rests on alone; a model that forecasts otherwise now needs trials of its own."""
    kept = seen.read()
    taught: list[Run] = []
    for one in kept.seen:
        for window in one.windows:
            assert window.rests_on == len(taught)
            now = forecast(taught, window.run.shape)
            assert now.median == pytest.approx(window.median, rel=0.05)
            if not one.held_out:
                taught.append(window.run)
