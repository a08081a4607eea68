"""The schema trial on the way through the phases: what cannot be restored is refused before anything is, and a trial that dies leaves nothing."""

from __future__ import annotations

import itertools

import pytest

from agent import trial
from agent.states import Phase
from tests.model.arrival import amiss
from tests.model.declared import steps
from tests.model.engine import Fault, How
from tests.model.moves import MADE_BY, Scene, States, faults_of
from tests.model.trial import BROKEN


def made(scene: Scene, what: str) -> None:
    """Somebody has DDL run on the old primary, and the standbys have it."""
    for machine in scene.world.machines.values():
        for cluster in machine.running():
            cluster.catalog[what] = ""


def dropped(scene: Scene, what: str) -> None:
    for machine in scene.world.machines.values():
        for cluster in machine.running():
            cluster.catalog.pop(what, None)


def test_what_cannot_be_restored_fails_prepare(states: States) -> None:
    """A prepare that succeeds is a promise that the night can go well."""
    with states.begun("new") as scene:
        made(scene, BROKEN)
        refused = scene.up(Phase.PREPARE, 1)
        assert not refused.arrived
        assert "every object of the old cluster to be restored" in refused.said
        assert "ERROR: no -- change or drop it" in refused.said
        assert not scene.world.target.trials
        dropped(scene, BROKEN)
        again = scene.up(Phase.PREPARE, 1)
        assert again.arrived, again.said


def test_what_was_made_since_is_refused_with_writes_accepted(states: States) -> None:
    """Between prepare and the night a fleet's schema goes on changing."""
    with states.begun("prepare") as scene:
        made(scene, BROKEN)
        refused = scene.up(Phase.READONLY, 1)
        assert not refused.arrived
        assert "every object of the old cluster to be restored" in refused.said
        assert scene.takes_writes("db1")
        assert {step.verb for step in refused.ran} <= {"deliver", "install", "ready", "announce"}, (
            "anything else changes something"
        )
        dropped(scene, BROKEN)
        again = scene.up(Phase.READONLY, 1)
        assert again.arrived, again.said


def test_it_is_not_made_again_where_nothing_changed(states: States) -> None:
    """Each trial is minutes on the way to readonly, on a large catalog."""
    with states.begun("prepare") as scene:
        machine = scene.world.target
        machine.write_json(trial.RECORD, {**machine.read_json(trial.RECORD), "at": 1})
        outcome = scene.up(Phase.READONLY, 1)
        assert outcome.arrived, outcome.said
        assert machine.read_json(trial.RECORD)["at"] == 1


@pytest.mark.parametrize("reboots", [False, True])
def test_a_trial_that_dies_is_made_again_and_its_server_ends(states: States, reboots: bool) -> None:
    """One that is left holds memory and pg_upgrade's port; of one that died nobody knows what it would have found."""
    move = MADE_BY["prepare"]
    moment = next(found for found in states.moments(move) if found.step == "db-a-database")
    for fault in faults_of(moment, (How.DIES,)):
        with states.again(moment.saved) as scene:
            scene.up(move.phase, move.round, {moment.step: fault})
            if reboots:
                scene.world.target.boot()
                for _ in range(3):
                    scene.world.move()
            again = scene.up(move.phase, move.round)
            assert again.arrived, (fault, again.said)
            told = {step.name: step for step in steps(move.phase, move.round)}
            assert amiss(scene.world, move.phase, told) == [], fault
            assert scene.world.target.read_json(trial.RECORD)["found"] == [], fault


def test_one_that_died_on_the_way_to_readonly_is_in_nobodys_way(states: States) -> None:
    """On, or back: its server is ended by whoever comes next, before pg_upgrade needs the port."""
    left_running = 0
    for dies_at in itertools.count():
        for back in (False, True):
            with states.begun("prepare") as scene:
                made(scene, "table new")
                first = scene.up(Phase.READONLY, 1, {"db-a-ready": Fault(How.DIES, dies_at)})
                if first.arrived:
                    assert left_running
                    return
                left_running += bool(scene.world.target.trials)
                for phase, round_ in ((Phase.PREPARE, 2),) if back else ((Phase.READONLY, 1), (Phase.UPGRADE, 1)):
                    again = scene.up(phase, round_)
                    assert again.arrived, (dies_at, again.said)
                    assert not scene.world.target.trials, dies_at
                assert scene.world.violations == []
