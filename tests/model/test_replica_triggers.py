"""Triggers that fire for replicas, kept quiet on the old primary while it follows: whoever dies, they are as before in the end."""

from __future__ import annotations

from agent.states import Phase
from tests.model.engine import Fault, How
from tests.model.moves import Scene, States
from tests.model.psql_reads import TRIGGER

STEP = "db1-reverse-replication"


def how_it_is_enabled(scene: Scene) -> str:
    (cluster,) = scene.world.primary.running()
    return cluster.catalog[TRIGGER]


def with_an_always_trigger(scene: Scene) -> None:
    (cluster,) = scene.world.primary.running()
    cluster.catalog[TRIGGER] = "A"


def test_they_are_as_before_whenever_the_agent_dies(states: States) -> None:
    """One that stays altered fires no more for what the fleet replicates in later, and nobody knows why."""
    for moment in (1, 3):
        with states.begun("upgrade") as scene:
            with_an_always_trigger(scene)
            scene.up(Phase.CUTOVER, 1, {STEP: Fault(How.DIES, moment)})
            there = scene.up(Phase.CUTOVER, 2)
            assert there.arrived, there.said
            assert how_it_is_enabled(scene) == "O"
            sealed = scene.up(Phase.UPGRADE, 3)
            assert sealed.arrived, sealed.said
            scene.up(Phase.PREPARE, 4, {STEP: Fault(How.DIES, moment)})
            back = scene.up(Phase.PREPARE, 4)
            assert back.arrived, back.said
            assert how_it_is_enabled(scene) == "A"
            assert scene.world.violations == []
