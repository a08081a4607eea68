"""The replicas of DB_A: what becomes of them when their server loses its power, on the way back, and when DB_A is made anew."""

from __future__ import annotations

import pytest

from agent.states import Phase
from tests.model.cluster import Cluster, Session
from tests.model.engine import Fault, How
from tests.model.moves import MADE_BY, Moment, Scene, States, faults_of

MOVE = MADE_BY["replicas"]


def step_of(states: States, name: str) -> Moment:
    return next(moment for moment in states.moments(MOVE) if moment.step == name)


def test_a_server_that_loses_its_power_starts_no_half_made_replica(states: States) -> None:
    """A copy without its standby.signal comes up as a primary of its own, with the fleet's data in it, and lets writes in."""
    moment = step_of(states, "db-c-replica")
    wrong = []
    for fault in faults_of(moment, (How.DIES,)):
        with states.again(moment.saved) as scene:
            scene.up(MOVE.phase, MOVE.round, {moment.step: fault})
            scene.world.machines["db-c"].boot()
            for _ in range(3):  # one that was whole streams again
                scene.world.move()
            scene.world.look("after db-c restarted")
            again = scene.up(MOVE.phase, MOVE.round)
            assert again.arrived, (fault, again.said)
            wrong += [(fault.moment, found) for found in scene.world.violations]
    assert wrong == []


@pytest.mark.parametrize("stuck", [True, False], ids=["late", "meanwhile"])
def test_a_copy_that_goes_on_after_the_way_back_began_does_no_harm(states: States, stuck: bool) -> None:
    """It copies from a DB_A that is sealed, and then made anew, under it."""
    moment = step_of(states, "db-c-replica")
    for fault in faults_of(moment, (How.LEFT,), every=6):
        with states.again(moment.saved) as scene:
            scene.up(MOVE.phase, MOVE.round, {moment.step: fault})
            for process in scene.world.standing:
                process.is_stuck = stuck
            scene.go_back(2)
            scene.world.end_standing()
            scene.world.look("after all is over")
            assert scene.world.violations == [], fault


def forward_to(scene: Scene, last: Phase, round_: int) -> None:
    for phase in list(Phase)[1 : list(Phase).index(last) + 1]:
        outcome = scene.up(phase, round_)
        assert outcome.arrived, outcome.said


def test_a_replica_of_the_db_a_of_before_is_made_anew(states: States) -> None:
    """It has the data of a DB_A that was given up: a name that leads there answers with what never happened."""
    with states.begun("replicas") as scene:
        scene.go_back(2)
        forward_to(scene, Phase.REPLICAS, scene.engine.finished[1] if scene.engine.finished else 0)
        (replica,), (target,) = (scene.world.machines[name].running() for name in ("db-c", "db-a"))
        assert replica.system == target.system
        assert replica.receives
        assert not scene.world.violations, scene.world.violations


def test_a_replica_that_streams_is_not_copied_again(states: States) -> None:
    """A raised round would take a database away that answers reads."""
    with states.begun("replicas") as scene:
        (before,) = scene.world.machines["db-c"].running()
        for phase, round_ in ((Phase.REPLICAS, 2), (Phase.CUTOVER, 3), (Phase.REPLICAS, 3)):
            outcome = scene.up(phase, round_)
            assert outcome.arrived, outcome.said
        assert scene.world.machines["db-c"].running() == [before]


def test_what_changed_on_db_a_is_in_force_on_a_replica_however_the_step_died(states: States) -> None:
    """Written, and never read: the next run finds its files as they are to be, and the replica goes on with the settings of before."""
    for moment in range(1, 12):
        with states.begun("replicas") as scene:
            for machine in (scene.world.machines["db-a"], scene.world.machines["db-c"]):
                (cluster,) = machine.running()
                if machine.name == "db-a":
                    text = machine.text(f"{cluster.data}/postgresql.auto.conf")
                    machine.put(f"{cluster.data}/postgresql.auto.conf", f"{text}work_mem = '64MB'\n".encode())
                    machine.reload(cluster)
            scene.up(Phase.REPLICAS, 2, {"db-c-replica": Fault(How.DIES, moment)})
            again = scene.up(Phase.REPLICAS, 2)
            assert again.arrived, again.said
            (replica,) = scene.world.machines["db-c"].running()
            assert replica.settings.get("work_mem") == "64MB", moment


def test_names_lead_to_no_replica_that_does_not_stream(states: States) -> None:
    """Reads would fail, or answer with what was true an hour ago."""
    with states.begun("cutover") as scene:
        (target,) = scene.world.target.running()
        target.catalog["role replicator"] = ""
        refused = scene.up(Phase.REPLICAS, 1)
        assert "a role replicator with LOGIN, REPLICATION and a password" in refused.said
        assert "web1-hosts-file" not in {step.name for step in refused.ran}
        assert not scene.world.violations, scene.world.violations


def pools(replicas: list[Cluster]) -> list[Session]:
    """The sessions of those who go by a name; who goes by an address is right to be there."""
    return [session for replica in replicas for session in replica.clients if session.user == "app"]


def test_after_the_way_back_nobody_reads_on_from_a_new_replica(states: States) -> None:
    """A pool finds its sessions alive there; once the old primary takes writes again, what it reads is old, and says nothing."""
    with states.begun("replicas") as scene:
        replicas = [scene.world.machines[name].running()[0] for name in ("db-c", "db-d")]
        for client in scene.world.clients:
            client.leave()  # the pools recycle
        for _ in range(30):
            scene.world.move()
        assert pools(replicas), "nobody is there who could be ended"
        outcome = scene.up(Phase.CUTOVER, 2)
        assert outcome.arrived, outcome.said
        assert pools(replicas) == []


def test_after_the_way_back_no_commit_waits_for_a_new_replica(states: States) -> None:
    """Who takes a replica away that the stack has no more would stop every write."""
    with states.begun("replicas") as scene:
        (target,) = scene.world.target.running()
        assert target.settings["synchronous_standby_names"]
        outcome = scene.up(Phase.CUTOVER, 2)
        assert outcome.arrived, outcome.said
        assert target.settings["synchronous_standby_names"] == ""
