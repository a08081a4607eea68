"""A drill on a fleet that was given: other names, another shape, more data, a schema of somebody's; with an exercise among it that fails."""

from __future__ import annotations

import pytest

from rehearsal.drill import practice
from rehearsal.drill.drill import drill
from rehearsal.drill.exercises import Exercise
from rehearsal.drill.expect import WrongError
from rehearsal.drill.night import Night
from rehearsal.drill.story import Fault, Practice
from rehearsal.rehearse import Judgement
from rehearsal.stage import opened

pytestmark = pytest.mark.lab


def test_the_fleet_is_the_one_that_was_given(night: Night) -> None:
    """A lab that boots its own fleet after all rehearses another one than everybody thinks."""
    assert opened(night.stage.lab.place).fleet == night.stage.fleet
    assert night.online == ("frontend-frankfurt-1", "frontend-frankfurt-2", "frontend-paris-1")
    (made,) = night.stage.restored
    assert made.extensions_missing == ("postgis",)
    assert [line for line in made.not_rehearsed if "TABLE public.spot" in line]
    assert (made.counts["tables"], made.counts["views"]) == (1, 1)


def breaks_off(night: Night, _: Judgement) -> None:
    """Leaves the fleet half-way: readonly is begun, and killed."""
    running = night.operator.begin("readonly", higher=True)
    running.until(f"{night.old}-client-gate", "from here on writes are refused")
    running.kill()
    raise WrongError("on purpose")


# DB_A is built anew twice in it, from eight databases: 12 minutes where two cores are slow. The ordinary limit is against what hangs.
@pytest.mark.timeout(1800)
def test_a_drill_goes_on_from_what_failed_to_the_end(night: Night) -> None:
    """What is left behind by an exercise that failed must not fail the next one, nor hide a loss."""
    exercises = [
        Exercise((Practice.FROM_UPGRADE,), practice.from_upgrade, "prepare"),
        Exercise((Fault.ENGINE_KILLED_AT_READONLY,), breaks_off, "prepare"),
        Exercise((Practice.FROM_CUTOVER,), practice.from_cutover, "cutover"),
    ]
    drilled = drill(night, print, exercises)
    assert drilled.failed == {Fault.ENGINE_KILLED_AT_READONLY.value: "on purpose"}
    assert drilled.wrong == []
    assert drilled.lost == 0
    assert drilled.acknowledged > 500
    assert drilled.authorities == [f"{night.old} 15", f"{night.new} 17", f"{night.old} 15", f"{night.new} 17"]
    figures = {one.fault: one for one in drilled.rows}
    for practised in (Practice.FROM_UPGRADE, Practice.FROM_CUTOVER):
        assert figures[practised].back is not None
        assert (figures[practised].forward or 0) > 5
