"""Every step of every move fails, dies at each of its moments, or succeeds unheard: `up` again arrives, and so does the way back."""

from __future__ import annotations

import pytest

from agent.journal import Authority
from tests.model.engine import Fault, How
from tests.model.invariants import could_be_upgraded
from tests.model.machine import LINKED
from tests.model.moves import MOVES, WITH_A_WAY_BACK, Moment, Move, Scene, States, each_fault

HOWS = (How.BEFORE, How.DIES, How.DROPPED)
# Steps whose work a transient unit does.
OF_A_UNIT = ("db-a-database", "db-c-replica", "db-d-replica")
OLD_DATA = "/var/lib/postgresql/15/main"


def only_the_way_back_is_left(scene: Scene) -> bool:
    """Whether pg_upgrade died after it began to link: nothing can be made of that DB_A but a new standby."""
    target = scene.world.target
    linked = target.path(f"{OLD_DATA}/{LINKED}").exists()
    return linked and target.read_json("/var/lib/pgleap/target.json").get("newCluster") == "used"


def goes_wrong(scene: Scene, move: Move, moment: Moment, fault: Fault) -> bool:
    """The `up` with the fault in it; whether anybody heard of it. A unit that had left its result, or that its front only starts (the
    rebuild on the way back), can die unheard."""
    heard = not scene.up(move.phase, move.round, {moment.step: fault}).arrived
    assert heard or moment.step in OF_A_UNIT, "the fault never came about"
    return heard


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_up_again_arrives(states: States, move: Move) -> None:
    """A failure that `up` cannot go on from leaves writes refused until somebody repairs servers by hand."""

    def befall(scene: Scene, moment: Moment, fault: Fault) -> None:
        heard = goes_wrong(scene, move, moment, fault)
        if only_the_way_back_is_left(scene):
            assert "writes come back with" in scene.up(move.phase, move.round).said
            assert scene.go_back(move.round + 1) == "straight"
            return
        again = scene.up(move.phase, move.round)
        assert again.arrived, again.said
        assert scene.up(move.phase, move.round).ran == []
        if not heard:
            looked = scene.up(move.phase, move.round + 1)
            assert looked.arrived, looked.said
            assert could_be_upgraded(scene.world)

    each_fault(states, move, HOWS, befall)


@pytest.mark.parametrize("move", WITH_A_WAY_BACK, ids=str)
def test_the_way_back_restores_writes(states: States, move: Move) -> None:
    """The engine remembers nothing of a step that failed: a way back that trusts it would leave the gate closed."""

    def befall(scene: Scene, moment: Moment, fault: Fault) -> None:
        goes_wrong(scene, move, moment, fault)
        released = scene.authority("db1") is Authority.RELEASED
        way = scene.go_back(move.round + 1)
        assert released or way in ("straight", "after DB_A had opened"), way
        assert scene.engine.finished is not None
        assert scene.up(*scene.engine.finished).ran == []

    each_fault(states, move, HOWS, befall)
