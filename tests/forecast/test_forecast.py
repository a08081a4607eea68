"""The forecast and its model, on windows that are made up."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.forecast import prior, words
from scripts.forecast.forecast import Forecast, forecast, unlike
from scripts.forecast.model import Measured, amounts, fit
from scripts.forecast.run import Shape
from tests.forecast.windows import run, shape

RELATIONS = shape(relations=20_000, most_relations=18_000)
DATABASES = shape(databases=120, relations=3_000, most_relations=60)
OBJECTS = shape(large_objects=400_000)
# What an operator rehearses with: near the fleet's own size in one way at a time, and never in two.
REHEARSED = [
    shape(),
    shape(),
    shape(relations=6_000, most_relations=5_500),
    shape(databases=40, relations=1_200, most_relations=60),
    shape(large_objects=100_000),
]


def figure(found: Forecast, part: str) -> float:
    (median,) = (one.median for one in found.parts if one.name == part)
    return median


@pytest.mark.parametrize("wanted", [RELATIONS, DATABASES, OBJECTS], ids=["relations", "databases", "large objects"])
@pytest.mark.parametrize("seed", range(5))
def test_a_shape_that_no_window_had_is_forecast_within_30_percent(wanted: Shape, seed: int) -> None:
    """A night that is agreed to for half a minute and takes two."""
    luck = random.Random(seed)
    found = forecast([run(one, luck) for one in REHEARSED], wanted)
    took = run(wanted, luck).seconds
    assert 0.7 < found.median / took < 1.3, (found.median, took)
    assert found.bad > found.median


def test_without_a_window_the_lab_s_figures_speak() -> None:
    """The first forecast of a fleet would be none, or nothing at all would be believed of 8,000 relations."""
    found = forecast([], shape(databases=3, relations=8_000, most_relations=8_000))
    assert 14 < figure(found, prior.DATABASE) < 25
    assert (found.runs, found.alike, found.beyond) == (0, 0, ())
    assert found.median < found.bad < 2 * found.median


def test_jobs_help_where_there_are_several_databases() -> None:
    """--jobs works on databases: one that has all relations is dumped by one process, whatever was promised."""
    one = shape(databases=1, relations=8_000, most_relations=8_000)
    assert amounts(one)["relations"] == amounts(one.model_copy(update={"jobs": 8, "cores": 8}))["relations"] == 8_000
    many = shape(databases=20, relations=8_000, most_relations=400)
    assert amounts(many)["relations"] == 4_000
    assert amounts(many.model_copy(update={"jobs": 8}))["relations"] == 4_000, "it has two cores"
    assert amounts(many.model_copy(update={"jobs": 8, "cores": 8}))["relations"] == 1_000


def test_bytes_count_where_they_are_copied() -> None:
    """A forecast by --link, for a window in which a terabyte is copied."""
    linked, copied = (forecast([], shape(bytes=10**12, transfer_mode=mode)).median for mode in ("link", "copy"))
    assert linked < 60
    assert copied > 1000


def test_runs_of_another_kind_count_less() -> None:
    """The laptop's rehearsal would be what a machine of 64 cores is forecast by."""
    here, elsewhere = shape(cores=8, jobs=8), shape(cores=2, jobs=2, old=14)
    assert unlike(here, elsewhere) == 2
    assert unlike(here, here.model_copy(update={"cores": 0, "memory_bytes": 0})) == 0, "what is not known differs"
    luck = random.Random(1)
    slow = [run(elsewhere, luck, parts={prior.DATABASE: 60.0}) for _ in range(2)]
    quick = [run(here, luck, parts={prior.DATABASE: 10.0}) for _ in range(2)]
    found = forecast([*slow, *quick], here)
    assert figure(found, prior.DATABASE) < 35, "as the mean of all"
    assert (found.runs, found.alike) == (4, 2)


def test_a_rehearsal_of_the_upgrade_alone_speaks_for_the_upgrade() -> None:
    """Counted as a window whose other parts took no time, it would make the next one look short."""
    luck = random.Random(1)
    alone = [run(shape(), luck, parts={prior.DATABASE: 40.0}, ended="rehearsal") for _ in range(3)]
    found, before = forecast(alone, shape()), forecast([], shape())
    assert figure(found, prior.DATABASE) > 30
    assert [one for one in found.parts if one.name != prior.DATABASE] == [
        one for one in before.parts if one.name != prior.DATABASE
    ]


def test_what_no_window_had_so_much_of_is_named() -> None:
    """A figure far outside what it rests on looks like any other."""
    found = forecast([run(shape(), random.Random(1))], shape(databases=120))
    assert found.beyond == ("120 databases, template1 among them, and no window so far had more than 5",)


def test_nights_that_differ_make_the_bad_case_worse() -> None:
    """Ten windows from 10 to 60 s whose bad case is little more than their median."""
    steady = forecast([run(shape(), random.Random(1), parts={prior.DATABASE: 20.0}) for _ in range(10)], shape())
    wild = [10.0, 60.0, 12.0, 50.0, 15.0, 40.0, 11.0, 55.0, 14.0, 30.0]
    varied = forecast([run(shape(), random.Random(1), parts={prior.DATABASE: one}) for one in wild], shape())

    def apart(found: Forecast) -> float:
        (part,) = (one for one in found.parts if one.name == prior.DATABASE)
        return part.bad / part.median

    assert apart(steady) < 1.25
    assert apart(varied) > 1.5


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 500), st.floats(0, 1e6), st.floats(0, 3600)), max_size=8),
)
def test_no_amount_makes_a_window_shorter(runs: list[tuple[float, float, float, float]]) -> None:
    """With a coefficient below 0 a fleet of many databases would be promised a window of no length."""
    measured = [
        Measured(
            {"one": 1.0, "relations": relations, "databases": databases, "largeObjects": objects, "copiedBytes": 0.0},
            seconds,
            1.0,
        )
        for relations, databases, objects, seconds in runs
    ]
    model = fit(prior.UPGRADE, measured)
    assert all(each >= 0 for each in model.coefficients.values())
    assert 0 < model.spread < 10


def test_what_is_left() -> None:
    """A step that is over and still counts sends a window back that was about to end."""
    found = forecast([], shape())
    parts = {part.name: part.median for part in found.parts}
    whole = found.left("readonly", {}, frozenset())
    assert whole == pytest.approx(found.median)
    gate = "readonly: primary client-gate"
    assert found.left("readonly", {gate: 0.3}, frozenset()) == pytest.approx(whole - 0.3)
    assert found.left("readonly", {gate: 0.3}, frozenset({gate})) == pytest.approx(whole - parts[gate])
    late = found.left("cutover", {prior.DATABASE: 500.0}, frozenset())
    assert late == pytest.approx(
        sum(each for name, each in parts.items() if not name.startswith("readonly") and name != prior.DATABASE)
    )
    assert found.left("cutover", {}, frozenset()) == pytest.approx(
        sum(each for name, each in parts.items() if name.startswith("cutover"))
    )


TRUE = shape(
    relations=20_000, most_relations=18_000, databases=20, large_objects=50_000, cores=8, jobs=4, memory_bytes=2**36
)


@pytest.mark.parametrize("seconds", [12.0, 120.0, 240.0])
@pytest.mark.parametrize("windows", [0, 5])
def test_the_true_data_say_more_than_the_lab(seconds: float, windows: int) -> None:
    """Five windows in the lab, on made-up tables, against one upgrade of the very data: 70 s are promised, and it takes four minutes."""
    luck = random.Random(1)
    lab = [run(one, luck) for one in REHEARSED][:windows]
    real = run(TRUE, luck, ended="rehearsal", parts={prior.DATABASE: seconds}, acts={"pg_upgrade": seconds})
    found, without = forecast([*lab, real], TRUE), forecast(lab, TRUE)
    assert figure(found, prior.DATABASE) == pytest.approx(seconds, rel=0.1)
    assert figure(without, prior.DATABASE) != pytest.approx(seconds, rel=0.1)
    assert found.true_data == 1
    # What it did not measure is as it was believed.
    assert figure(found, "cutover: target client-gate") == figure(without, "cutover: target client-gate")
    (part,) = (one for one in found.parts if one.name == prior.DATABASE)
    assert part.bad > 1.2 * part.median, "one night is all that was seen"


def test_what_the_schema_trial_took_is_believed() -> None:
    """It is most of the upgrade, on the true catalog: relations that take ten times as long as the lab's are known to before the night."""
    slow = shape(databases=3, relations=8_000, most_relations=8_000, trial_seconds=90.0)
    fast = slow.model_copy(update={"trial_seconds": 4.0})
    usual = slow.model_copy(update={"trial_seconds": 0.0})
    assert figure(forecast([], usual), prior.DATABASE) < 25
    assert 80 < figure(forecast([], slow), prior.DATABASE) < 105
    assert figure(forecast([], fast), prior.DATABASE) < 14
    rehearsed = [run(one, random.Random(3)) for one in REHEARSED]
    assert 60 < figure(forecast(rehearsed, slow), prior.DATABASE) < 110
    assert any("in 90.0 s (the schema trial)" in line for line in words.rests_on(forecast([], slow)))
    assert not any("trial" in line for line in words.rests_on(forecast([], usual)))
