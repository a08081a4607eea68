"""A database server that dies, and is called lost: what comes back without it, and what is refused when it lives."""

from __future__ import annotations

import pytest

from agent.journal import Authority
from agent.own_names import SLOT
from agent.states import Phase
from tests.model.clients import leads
from tests.model.invariants import left_of_the_stream
from tests.model.moves import Scene, States

# What is broken by the death itself until somebody has gone on: nobody can keep writes from being refused, or names from leading to it.
OF_THE_DEATH = ("could not be upgraded at once", "no PostgreSQL there")


def dies(scene: Scene, name: str, called: str) -> None:
    """A server loses its power for good, and the operator says so."""
    machine = scene.world.machines[name]
    for cluster in machine.running():
        machine.stop(cluster, crash=True)
    scene.world.unreachable.add(name)
    scene.engine.without = called


def broken(scene: Scene) -> list[str]:
    return [found for found in scene.world.violations if not any(words in found for words in OF_THE_DEATH)]


@pytest.mark.parametrize("start", ["readonly", "upgrade", "cutover, not released"])
def test_before_the_release_the_way_back_needs_nothing_of_db_a(states: States, start: str) -> None:
    """Writes that stay refused because the server that broke is asked."""
    with states.begun(start) as scene:
        dies(scene, "db-a", "db-a lost")
        back = scene.up(Phase.PREPARE, 2)
        assert back.arrived, back.said
        assert scene.takes_writes("db1")
        assert broken(scene) == []
        (cluster,) = scene.world.machines["db1"].running()
        assert SLOT not in cluster.slots, "what nobody streams any more fills the disk"
        assert scene.up(Phase.PREPARE, 2).ran == []


@pytest.mark.parametrize("start", ["cutover, released", "cutover"])
def test_after_the_release_only_with_a_persons_word(states: States, start: str) -> None:
    """DB_A may have opened, and may be open still, where the stack cannot see it."""
    with states.begun(start) as scene:
        for _ in range(50):
            scene.world.move()
        on_db1 = set(next(iter(scene.world.machines["db1"].running())).content)
        only_on_db_a = scene.world.acknowledged - on_db1
        dies(scene, "db-a", "db-a lost")
        assert not scene.up(Phase.PREPARE, 2).arrived
        assert not scene.takes_writes("db1")
        scene.engine.without = "db-a given up"
        back = scene.up(Phase.PREPARE, 3)
        assert back.arrived, back.said
        assert scene.takes_writes("db1")
        assert (only_on_db_a != set()) is (start == "cutover"), (
            "what it took since it opened is given up, and nothing else"
        )
        lost = [found for found in broken(scene) if "acknowledged writes are not on db1" not in found]
        assert lost == []
        assert on_db1 <= set(next(iter(scene.world.machines["db1"].running())).content)


def test_a_db_a_that_is_called_lost_and_answers_keeps_the_old_primary_sealed(states: States) -> None:
    """A cut network looks like a death from here: two databases would take writes."""
    with states.begun("cutover") as scene:
        scene.world.unreachable.add("db-a")
        scene.engine.without = "db-a given up"
        refused = scene.up(Phase.PREPARE, 2)
        assert "which the stack calls lost, to answer nobody" in refused.said
        assert scene.takes_writes("db-a")
        assert not scene.takes_writes("db1")
        assert broken(scene) == []


@pytest.mark.parametrize("start", ["readonly", "upgrade", "cutover, not released", "cutover, released", "cutover"])
def test_once_it_was_fenced_db_a_goes_on_without_the_old_primary(states: States, start: str) -> None:
    """A primary that dies in the window would end it with a promotion by hand, at night."""
    with states.begun(start) as scene:
        dies(scene, "db1", "db1 lost")
        for phase in list(Phase)[list(Phase).index(Phase.UPGRADE) + (start != "readonly") :]:
            outcome = scene.up(phase, 1)
            assert outcome.arrived, outcome.said
        assert scene.takes_writes("db-a")
        assert scene.authority("db-a") is Authority.HOLDS
        assert broken(scene) == []
        assert left_of_the_stream(scene.world) == []
        assert scene.up(Phase.RETIRE, 1).ran == []


def test_a_new_replica_that_is_lost_gives_its_names_back(states: States) -> None:
    """Names that lead to a dead server, and a slot that keeps DB_A's WAL for it until the disk is full."""
    with states.begun("replicas") as scene:
        dies(scene, "db-d", "db-d lost")
        outcome = scene.up(Phase.REPLICAS, 2)
        assert outcome.arrived, outcome.said
        target = scene.world.target
        assert leads(scene.world.machines["web1"], "db3.internal.ln") == target.address
        assert target.running()[0].slots == {"replica_db_c"}
        scene.world.violations.clear()
        retired = scene.up(Phase.RETIRE, 2)
        assert retired.arrived, retired.said
        assert scene.world.violations == []


@pytest.mark.parametrize("start", ["readonly", "upgrade"])
def test_an_old_primary_that_is_called_lost_and_answers_keeps_db_a_sealed(states: States, start: str) -> None:
    """It may open again by the next way back, beside a DB_A that opened without asking it."""
    with states.begun(start) as scene:
        scene.world.unreachable.add("db1")
        scene.engine.without = "db1 lost"
        refused = scene.up(Phase.UPGRADE if start == "readonly" else Phase.CUTOVER, 1)
        assert "which the stack calls lost, to answer nobody" in refused.said
        assert not scene.takes_writes("db-a")
        assert broken(scene) == []


def test_an_old_primary_that_took_writes_again_before_it_died_is_not_forgotten(states: States) -> None:
    """DB_A stands at its fence; what the old primary took after the way back is on the replicas alone."""
    with states.begun("upgrade") as scene:
        scene.world.unreachable.add("db-a")
        assert not scene.up(Phase.PREPARE, 2).arrived
        assert scene.takes_writes("db1")
        for _ in range(50):
            scene.world.move()
        scene.world.unreachable.clear()
        dies(scene, "db1", "db1 lost")
        refused = scene.up(Phase.CUTOVER, 2)
        assert not refused.arrived
        assert not scene.takes_writes("db-a")
        assert "knows of all before id" in refused.said
        assert broken(scene) == []


def test_a_replica_that_somebody_promoted_keeps_everybody_sealed(states: States) -> None:
    """It takes writes already: whoever opens beside it is the second one."""
    with states.begun("upgrade") as scene:
        for cluster in scene.world.machines["db3"].running():
            cluster.recovery = False
        for phase, round_ in ((Phase.CUTOVER, 1), (Phase.PREPARE, 2)):
            refused = scene.up(phase, round_)
            assert "db3 an old replica, in recovery" in refused.said
            assert scene.authority("db1") is Authority.SEALED
        assert not scene.takes_writes("db1")
        assert not scene.takes_writes("db-a")
