"""The end: what stops, what is left, and what is not stopped."""

from __future__ import annotations

from contextlib import suppress

import pytest

from agent.states import Phase
from tests.model.clients import Direct
from tests.model.cluster import DatabaseError
from tests.model.engine import Fault, How
from tests.model.invariants import left_of_the_stream
from tests.model.moves import MADE_BY, Scene, States, faults_of

MOVE = MADE_BY["retire"]
OLD = ("db1", "db2", "db3")


def running(scene: Scene) -> list[str]:
    return [name for name in OLD if scene.world.machines[name].running()]


def test_nothing_is_left_that_nobody_needs(states: States) -> None:
    """A slot that nobody reads fills DB_A's disk, weeks later."""
    with states.begun("retire") as scene:
        assert left_of_the_stream(scene.world) == []
        assert running(scene) == []
        for name in OLD:
            machine = scene.world.machines[name]
            machine.boot()
            assert machine.path("/var/lib/postgresql/15/main/PG_VERSION").exists(), "its files stay"
        assert running(scene) == [], "they start no more with their machines"
        assert scene.takes_writes("db-a")
        for name in ("db-c", "db-d"):
            (cluster,) = scene.world.machines[name].running()
            assert cluster.receives
        assert not scene.world.violations, scene.world.violations


@pytest.mark.parametrize(
    "step", ["db1-reverse-replication", "db-a-replication", "db1-retirement", "db2-retirement", "db3-retirement"]
)
def test_nothing_is_left_however_a_step_dies(states: States, step: str) -> None:
    """What the run that died had not come to is found by no later one that only looks whether its own first act was done."""
    found = next(moment for moment in states.moments(MOVE) if moment.step == step)
    for fault in [*faults_of(found, (How.DIES,)), Fault(How.DROPPED)]:
        for round_ in (MOVE.round, MOVE.round + 1):
            with states.again(found.saved) as scene:
                assert not scene.up(MOVE.phase, MOVE.round, {step: fault}).arrived
                again = scene.up(MOVE.phase, round_)
                assert again.arrived, (fault, again.said)
                assert left_of_the_stream(scene.world) == [], fault
                assert running(scene) == []
                for name in OLD:
                    scene.world.machines[name].boot()
                assert running(scene) == [], fault
                assert not scene.world.violations, (fault, scene.world.violations)


def test_somebody_on_an_old_server_stops_all_of_it(states: States) -> None:
    """A report that reads from an old replica by its address would end in the middle."""
    with states.begun("replicas") as scene:

        def somebody(step: str) -> None:
            if step == "db3-unused" and not scene.world.machines["db3"].running()[0].clients:
                reader = Direct("worker1", "app", to="db3")
                reader.connect(scene.world)
                scene.world.clients.append(reader)

        refused = scene.up(MOVE.phase, MOVE.round, before_step=somebody)
        assert "nobody connected to an old database server any more" in refused.said
        assert "from 10.77.0.31 as app" in refused.said
        assert running(scene) == list(OLD)
        assert "postgres" in str(scene.world.primary.running()[0].subscription), "the way back is kept as long"
        back = scene.up(Phase.CUTOVER, MOVE.round + 1)
        assert back.arrived, back.said
        for phase in (Phase.REPLICAS, MOVE.phase):
            again = scene.up(phase, MOVE.round + 1)
            assert again.arrived, again.said
        assert not scene.world.violations, scene.world.violations


@pytest.mark.parametrize("server", ["db2", "db3"])
def test_who_comes_at_the_last_moment_is_not_cut_off(states: States, server: str) -> None:
    """Between the look and the stop somebody may come in."""
    found = next(moment for moment in states.moments(MOVE) if moment.step == f"{server}-retirement")
    came_in = 0
    for number in range(found.moments):
        with states.again(found.saved) as scene:
            (cluster,) = scene.world.machines[server].running()
            scene.up(MOVE.phase, MOVE.round, {found.step: Fault(How.LEFT, number)})
            late = None
            with suppress(DatabaseError):
                late = cluster.login("app", "10.77.0.31", scene.world.clock)
            came_in += late is not None
            scene.world.end_standing()
            assert not scene.world.violations, (number, scene.world.violations)
            if late is not None:
                assert cluster.running, "it is as it was"
                assert cluster.admits("app", "10.77.0.31") is None
                cluster.close(late)
            again = scene.up(MOVE.phase, MOVE.round)
            assert again.arrived, again.said
            assert running(scene) == []
    assert came_in, "nobody came in at any moment"
