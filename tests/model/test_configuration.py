"""DB_A opens with the configuration that the old primary runs with that night, not with that of the day of prepare."""

from __future__ import annotations

import pytest

from agent.journal import Authority
from agent.states import Phase
from tests.model.cluster import Cluster
from tests.model.machine import Machine
from tests.model.moves import Scene, States

REPORTING = "host all reporting 10.99.0.0/16 scram-sha-256\n"


def edited(machine: Machine, *, rules: str = "", settings: str = "", without: str = "", loaded: bool = True) -> None:
    """Somebody changes the running database's configuration, and has it read unless told otherwise."""
    (cluster,) = machine.running()
    hba, conf = f"{cluster.config}/pg_hba.conf", f"{cluster.config}/postgresql.conf"
    machine.put(hba, (machine.text(hba).replace(without, "") + rules).encode())
    machine.put(conf, (machine.text(conf) + settings).encode())
    if loaded:
        machine.reload(cluster)


def opened(scene: Scene) -> Cluster:
    """DB_A's new version, once it takes writes."""
    assert scene.authority("db-a") is Authority.HOLDS
    (cluster,) = scene.world.target.running()
    assert cluster.version == 17
    return cluster


def to_cutover(scene: Scene, round_: int = 1) -> Cluster:
    for phase in (Phase.READONLY, Phase.CUTOVER):
        outcome = scene.up(phase, round_)
        assert outcome.arrived, outcome.said
    assert not scene.world.violations, scene.world.violations
    return opened(scene)


def test_what_changed_since_prepare_arrives(states: States) -> None:
    """A rule that was added was missing after cutover, and a setting was as it had been weeks before."""
    with states.begun("prepare") as scene:
        edited(scene.world.primary, rules=REPORTING, settings="work_mem = '64MB'\n")
        db_a = to_cutover(scene)
        assert db_a.admits("reporting", "10.99.0.5") is None
        assert db_a.settings["work_mem"] == "64MB"


def test_a_revoked_rule_stays_revoked(states: States) -> None:
    """Whoever was shut out on the old primary got into DB_A."""
    with states.begun("prepare") as scene:
        revoked = "host all all 10.77.0.0/16 scram-sha-256\n"
        assert revoked in scene.world.primary.text("/etc/postgresql/15/main/pg_hba.conf")
        edited(scene.world.primary, rules=REPORTING, without=revoked)
        for phase in (Phase.READONLY, Phase.UPGRADE):
            scene.up(phase, 1)
        text = scene.world.target.text("/etc/postgresql/17/main/pg_hba.conf")
        assert REPORTING in text
        assert revoked not in text


def test_a_setting_taken_out_again_is_gone(states: States) -> None:
    """It was carried in prepare, and nobody took it out of DB_A's files."""
    with states.begun("prepare") as scene:
        edited(scene.world.primary, settings="work_mem = '64MB'\n")
        assert scene.up(Phase.PREPARE, 2).arrived
        (db_a,) = scene.world.target.running()
        assert db_a.settings["work_mem"] == "64MB"
        conf = "/etc/postgresql/15/main/postgresql.conf"
        scene.world.primary.put(conf, scene.world.primary.text(conf).replace("work_mem = '64MB'\n", "").encode())
        scene.world.primary.reload(scene.world.primary.running()[0])
        assert "work_mem" not in to_cutover(scene, 2).settings


def test_what_changed_while_writes_were_refused_arrives(states: States) -> None:
    """From the seal to the upgrade hours may pass."""
    with states.begun("readonly") as scene:
        edited(scene.world.primary, rules=REPORTING, settings="work_mem = '64MB'\n")
        outcome = scene.up(Phase.CUTOVER, 1)
        assert outcome.arrived, outcome.said
        assert opened(scene).settings["work_mem"] == "64MB"
        assert opened(scene).admits("reporting", "10.99.0.5") is None


def test_a_file_that_was_not_read_holds_nothing_up_once_writes_are_refused(states: States) -> None:
    """A half-edited file that the old primary does not run with could keep DB_A from starting, in the window."""
    with states.begun("readonly") as scene:
        edited(scene.world.primary, rules=REPORTING, loaded=False)
        outcome = scene.up(Phase.CUTOVER, 1)
        assert outcome.arrived, outcome.said
        assert REPORTING not in scene.world.target.text("/etc/postgresql/17/main/pg_hba.conf")


def test_rules_that_were_not_read_are_refused_ahead(states: States) -> None:
    """The file is not what is in force, and what is in force nobody can read."""
    with states.begun("prepare") as scene:
        edited(scene.world.primary, rules=REPORTING, loaded=False)
        outcome = scene.up(Phase.READONLY, 1)
        assert not outcome.arrived
        assert "as it has read them" in outcome.said
        assert scene.takes_writes("db1")
        scene.world.primary.reload(scene.world.primary.running()[0])
        assert scene.up(Phase.READONLY, 2).arrived


def test_what_changes_after_it_was_carried_is_refused_before_names_move(states: States) -> None:
    """Draining takes minutes, and somebody is at work meanwhile. Refused later it would be an outage for nothing."""
    with states.begun("prepare") as scene:

        def meanwhile(step: str) -> None:
            if step.startswith("worker1-"):
                edited(scene.world.primary, settings="work_mem = '64MB'\n")

        outcome = scene.up(Phase.READONLY, 1, before_step=meanwhile)
        assert not outcome.arrived
        assert "settings: work_mem" in outcome.said
        assert scene.takes_writes("db1")
        assert scene.up(Phase.READONLY, 2).arrived
        outcome = scene.up(Phase.CUTOVER, 2)
        assert outcome.arrived, outcome.said
        assert opened(scene).settings["work_mem"] == "64MB"


@pytest.mark.parametrize("left", ["recovery_min_apply_delay = '10min'\n", "recovery_target_time = '2024-01-01'\n"])
def test_leftovers_of_a_recovery_stay_behind(states: States, left: str) -> None:
    """With one of them DB_A streamed, and never replayed the fence."""
    with states.begun("prepare") as scene:
        edited(scene.world.primary, settings=f"{left}work_mem = '64MB'\n")
        assert scene.up(Phase.READONLY, 1).arrived
        (standby,) = scene.world.target.running()
        assert standby.settings["work_mem"] == "64MB"
        assert left.split(" =", maxsplit=1)[0] not in standby.settings


def test_a_replica_that_streams_and_does_not_replay_is_refused_ahead(states: States) -> None:
    """On a quiet primary it is a few bytes behind, for ever: reads moved to it, and whoever had just written read what was before."""
    with states.begun("prepare") as scene:
        edited(scene.world.machines["db2"], settings="recovery_min_apply_delay = '36000000'\n")
        outcome = scene.up(Phase.READONLY, 1)
        assert not outcome.arrived
        assert "db2 has recovery_min_apply_delay = 36000000" in outcome.said
        assert scene.takes_writes("db1")
