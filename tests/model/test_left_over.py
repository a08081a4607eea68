"""What goes on after its connection dropped: a unit of an abandoned move, or a verb still at work, while the operator goes back."""

from __future__ import annotations

import pytest

from agent.journal import Authority
from agent.states import Phase
from tests.model.engine import Fault, How
from tests.model.moves import MADE_BY, WITH_A_WAY_BACK, Moment, Move, Scene, States, each_fault, faults_of

FORWARD = [move for move in WITH_A_WAY_BACK if move.phase is not Phase.PREPARE]


def way_back_with_it_under_way(scene: Scene, move: Move, moment: Moment, fault: Fault, *, stuck: bool) -> None:
    """Leave the step at that moment, and go back. A stuck one goes on only when somebody on its server waits, or when all is over."""
    scene.up(move.phase, move.round, {moment.step: fault})
    for process in scene.world.standing:
        process.is_stuck = stuck
    scene.go_back(move.round + 1)
    scene.world.end_standing()
    scene.world.look("after all is over")
    opened = scene.authority("db-a") is Authority.HOLDS
    assert scene.takes_writes("db-a") is opened
    assert scene.takes_writes("db1") is not opened


@pytest.mark.parametrize("stuck", [True, False], ids=["late", "meanwhile"])
@pytest.mark.parametrize("move", FORWARD, ids=str)
def test_what_was_left_under_way_never_opens_a_database(states: States, move: Move, stuck: bool) -> None:
    """A promotion or an opening that comes through after the operator went back would be the second database that takes writes."""

    def befall(scene: Scene, moment: Moment, fault: Fault) -> None:
        way_back_with_it_under_way(scene, move, moment, fault, stuck=stuck)

    each_fault(states, move, (How.LEFT,), befall, critical_only=True)


def test_after_a_unit_was_left_the_whole_way_forward_arrives(states: States) -> None:
    """A DB_A that a late unit made something else of would be found out with writes refused."""
    move = MADE_BY["upgrade"]
    moment = next(moment for moment in states.moments(move) if moment.step == "db-a-database")
    for fault in faults_of(moment, (How.LEFT,), every=4):
        with states.again(moment.saved) as scene:
            way_back_with_it_under_way(scene, move, moment, fault, stuck=True)
            for phase in (Phase.READONLY, Phase.UPGRADE, Phase.CUTOVER):
                outcome = scene.up(phase, 2)
                assert outcome.arrived, (fault, outcome.said)
            assert not scene.world.violations, (fault, scene.world.violations)


def test_the_next_up_waits_for_the_unit_under_way(states: States) -> None:
    """A second pg_upgrade beside the first, or one more ten-minute run after it, is what a dropped connection must not cost."""
    move = MADE_BY["upgrade"]
    moment = next(moment for moment in states.moments(move) if moment.step == "db-a-database")
    with states.again(moment.saved) as scene:
        scene.up(move.phase, move.round, {moment.step: Fault(How.LEFT, 6)})
        assert [process.where for process in scene.world.standing] == ["db-a"]
        again = scene.up(move.phase, move.round)
        assert again.arrived, again.said
        assert again.facts["db-a-database"]["changed"] == ["upgraded from 15 to 17"]
        assert not scene.world.violations, scene.world.violations
