"""A crash between two durable writes, with a reboot after it: what a database lets in and holds is brought to what the journal says."""

from __future__ import annotations

import pytest

from agent.journal import Authority
from agent.own_names import SLOT
from agent.seal_settings import SEAL_FILE
from agent.states import Phase
from agent.statistics import OWED_FILE, UNIT
from tests.model import replication
from tests.model.arrival import amiss
from tests.model.cluster import Cluster
from tests.model.declared import steps
from tests.model.engine import Fault, How
from tests.model.moves import MADE_BY, MOVES, Move, Scene, States, faults_of
from tests.model.test_lost_servers import broken, dies

# Steps that seal or open a database, or write its settings and slots; every how many moments the way back is tried, too (0: never).
WRITING = [
    ("prepare to readonly", "db1-client-gate", 2),
    ("readonly to prepare", "db1-client-gate", 0),
    ("upgrade, after cutover to prepare", "db1-client-gate", 2),
    ("cutover to upgrade", "db-a-client-gate", 3),
    ("upgrade to cutover", "db-a-client-gate", 3),
    ("upgrade to cutover", "db1-reverse-replication", 0),
    ("cutover to replicas", "db-a-replication", 0),
    ("cutover to replicas", "db-a-synchronous-replication", 1),
]


def cluster_of(scene: Scene, name: str) -> Cluster:
    (cluster,) = scene.world.machines[name].running()
    return cluster


@pytest.mark.parametrize(("named", "step", "back_every"), WRITING, ids=str)
def test_a_reboot_after_the_crash(states: States, named: str, step: str, back_every: int) -> None:
    """What was written to the disk and never read counts after a start: rules, settings, both or one of them."""
    move: Move = next(move for move in MOVES if str(move) == named)
    moment = next(found for found in states.moments(move) if found.step == step)
    server = step.rpartition("-client-gate")[0] or "-".join(step.split("-")[: 2 if step.startswith("db-a") else 1])
    for fault in faults_of(moment, (How.DIES,)):
        for back in (False, True) if back_every and fault.moment % back_every == 0 else (False,):
            with states.again(moment.saved) as scene:
                scene.up(move.phase, move.round, {step: fault})
                scene.world.machines[server].boot()
                for _ in range(3):
                    scene.world.move()
                scene.world.look("after it restarted")
                if back:
                    scene.go_back(move.round + 1)
                else:
                    again = scene.up(move.phase, move.round)
                    assert again.arrived, (fault, again.said)
                assert scene.world.violations == [], (fault, back)


def test_statistics_that_a_reboot_ended_are_gathered_after_all(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DB_A without statistics answers as if it were down, and nothing would begin them again."""
    with states.begun("readonly") as scene:
        machine = scene.world.target
        rebooted: list[str] = []

        def reboot(step: str) -> None:
            if machine.tasks.get(UNIT) and not rebooted:
                machine.boot()
                rebooted.append(step)

        with monkeypatch.context() as for_long:
            for_long.setattr(replication, "_gather", lambda *_: None)
            outcome = scene.up(Phase.UPGRADE, 1, before_step=reboot)
        assert outcome.arrived, outcome.said
        assert rebooted
        assert not cluster_of(scene, "db-a").gathered
        outcome = scene.up(Phase.CUTOVER, 1)
        assert outcome.arrived, outcome.said
        for _ in range(1500):
            scene.world.move()
        assert cluster_of(scene, "db-a").gathered
        assert not machine.read_json(OWED_FILE)
        assert scene.world.violations == []


def test_a_lost_db_a_that_streams_on_holds_no_slot(states: States) -> None:
    """Its sshd is dead, its PostgreSQL is not: the old primary's disk fills up for a server that was given up."""
    with states.begun("readonly") as scene:
        scene.world.unreachable.add("db-a")
        scene.engine.without = "db-a lost"
        back = scene.up(Phase.PREPARE, 2)
        assert back.arrived, back.said
        assert SLOT not in cluster_of(scene, "db1").slots
        assert broken(scene) == []


@pytest.mark.parametrize("start", ["readonly", "upgrade"])
def test_nobody_follows_a_db_a_without_its_old_primary(states: States, start: str) -> None:
    """It opened without it: slots of a stream back that nobody will ever read fill its disk."""
    with states.begun(start) as scene:
        dies(scene, "db1", "db1 lost")
        for phase in (Phase.UPGRADE, Phase.CUTOVER, Phase.REPLICAS)[start != "readonly" :]:
            outcome = scene.up(phase, 1)
            assert outcome.arrived, outcome.said
            if phase is not Phase.UPGRADE:
                assert cluster_of(scene, "db-a").logical == {}
        assert broken(scene) == []


def test_what_alter_system_set_on_the_old_primary_does_not_keep_db_a_from_leading_a_stream(states: States) -> None:
    """Its file wins over pgleap's: the slots of the stream back could not be made, with writes refused."""
    with states.begun("new") as scene:
        primary = cluster_of(scene, "db1")
        scene.world.primary.put(
            f"{primary.data}/postgresql.auto.conf", b"wal_level = 'replica'\nmax_wal_senders = '50'\n"
        )
        scene.world.primary.reload(primary)
        for phase in (Phase.PREPARE, Phase.READONLY, Phase.UPGRADE):
            outcome = scene.up(phase, 1)
            assert outcome.arrived, outcome.said
        settings = cluster_of(scene, "db-a").settings
        assert (settings["wal_level"], settings["max_wal_senders"]) == ("logical", "50")


def test_a_seal_that_postgresql_refuses_leaves_the_database_open(states: States) -> None:
    """With rules that shut clients out on the disk, any reload would end the writes of a database that holds the authority."""
    with states.begun("cutover") as scene:
        machine, cluster = scene.world.target, cluster_of(scene, "db-a")
        cluster.settings["allow_alter_system"] = "off"
        machine.put(
            f"{cluster.config}/postgresql.conf",
            machine.text(f"{cluster.config}/postgresql.conf").encode() + b"allow_alter_system = off\n",
        )
        refused = scene.up(Phase.UPGRADE, 2)
        assert "ALTER SYSTEM is not allowed" in refused.said
        assert scene.authority("db-a") is Authority.HOLDS
        machine.boot()
        assert scene.takes_writes("db-a")
        again = scene.up(Phase.CUTOVER, 3)
        assert again.arrived, again.said
        assert scene.world.violations == []


def test_a_database_opens_though_alter_system_is_forbidden_since(states: States) -> None:
    """It would be let in to, and refuse every write."""
    with states.begun("upgrade") as scene:
        machine, cluster = scene.world.target, cluster_of(scene, "db-a")
        machine.put(
            f"{cluster.config}/postgresql.conf",
            machine.text(f"{cluster.config}/postgresql.conf").encode() + b"allow_alter_system = off\n",
        )
        machine.reload(cluster)
        outcome = scene.up(Phase.CUTOVER, 1)
        assert outcome.arrived, outcome.said
        assert scene.world.violations == []


def test_a_seal_of_which_no_record_is_left_is_taken_away(states: States) -> None:
    """The database is let in to, and refuses every write; no later run looks."""
    for start, phase, round_ in (("upgrade", Phase.CUTOVER, 1), ("readonly", Phase.PREPARE, 2)):
        with states.begun(start) as scene:
            for machine in (scene.world.primary, scene.world.target):
                machine.path(SEAL_FILE).unlink(missing_ok=True)
            outcome = scene.up(phase, round_)
            assert outcome.arrived, outcome.said
            assert scene.world.violations == []


def test_read_only_by_default_and_without_autovacuum_by_the_fleets_own_will_stays_so(states: States) -> None:
    """pgleap sets back what it has set, and nothing else."""
    with states.begun("new") as scene:
        primary = cluster_of(scene, "db1")
        scene.world.primary.put(f"{primary.data}/postgresql.auto.conf", b"autovacuum = 'off'\n")
        scene.world.primary.reload(primary)
        for phase, round_ in ((Phase.PREPARE, 1), (Phase.READONLY, 1), (Phase.PREPARE, 2)):
            outcome = scene.up(phase, round_)
            assert outcome.arrived, outcome.said
            assert primary.settings["autovacuum"] == "off"


@pytest.mark.parametrize("moment", range(1, 4))
def test_names_that_were_written_and_never_read_are_not_waited_for_later(states: States, moment: int) -> None:
    """Going back finds them not in force, and any reload afterwards makes every commit wait for a replica that may be gone."""
    with states.begun("cutover") as scene:
        scene.up(Phase.REPLICAS, 1, {"db-a-synchronous-replication": Fault(How.DIES, moment)})
        back = scene.up(Phase.CUTOVER, 2)
        assert back.arrived, back.said
        machine = scene.world.target
        machine.reload(cluster_of(scene, "db-a"))
        assert cluster_of(scene, "db-a").settings["synchronous_standby_names"] == ""
        told = {step.name: step for step in steps(Phase.CUTOVER, 2)}
        assert amiss(scene.world, Phase.CUTOVER, told) == []


def test_a_retirement_that_died_shuts_nobody_out_of_a_replica_that_goes_on(states: States) -> None:
    """Whoever is inside keeps the server from being stopped, and whoever comes was refused for ever."""
    move = MADE_BY["retire"]
    moment = next(found for found in states.moments(move) if found.step == "db2-retirement")
    for fault in faults_of(moment, (How.DIES,)):
        with states.again(moment.saved) as scene:
            scene.up(move.phase, move.round, {moment.step: fault})
            running = scene.world.machines["db2"].running()
            if not running or scene.world.machines["db2"].read_json("/var/lib/pgleap/retired.json"):
                continue
            (cluster,) = running
            session = (
                cluster.login("app", "10.77.0.31", scene.world.clock)
                if not cluster.admits("app", "10.77.0.31")
                else None
            )
            if session is None:
                cluster.hba, before = "host all all all scram-sha-256\n", cluster.hba
                session, cluster.hba = cluster.login("app", "10.77.0.31", scene.world.clock), before
            assert not scene.up(move.phase, move.round).arrived
            assert cluster.admits("app", "10.77.0.31") is None, fault
            cluster.close(session)
            again = scene.up(move.phase, move.round)
            assert again.arrived, again.said


@pytest.mark.parametrize(("phase", "round_"), [(Phase.PREPARE, 2), (Phase.READONLY, 1)], ids=str)
def test_sealed_rules_that_were_put_back_and_never_read_are_read(states: States, phase: Phase, round_: int) -> None:
    """Somebody put a line above pgleap's on DB_A, and the run that mended it died: the next ones saw the disk, and waited for nothing."""
    with states.begun("prepare") as scene:
        machine, cluster = scene.world.target, cluster_of(scene, "db-a")
        file = f"{cluster.config}/pg_hba.conf"
        sealed = machine.text(file)
        machine.put(file, f"host all all 0.0.0.0/0 scram-sha-256\n{sealed}".encode())
        machine.reload(cluster)
        machine.put(file, sealed.encode())
        outcome = scene.up(phase, round_)
        assert outcome.arrived, outcome.said
        assert cluster.admits("app", "10.77.0.31") is not None


def test_rules_for_another_reader_that_were_never_read_are_read(states: States) -> None:
    """A replica that cannot be asked whether it was promoted, or told, keeps nobody waiting: it was passed over from then on."""
    with states.begun("prepare") as scene:
        machine, cluster = scene.world.machines["db2"], cluster_of(scene, "db2")
        file, asks = f"{cluster.config}/pg_hba.conf", scene.world.primary.address
        rules = machine.text(file)
        machine.put(file, rules.replace(asks, "10.77.0.99").encode())
        machine.reload(cluster)
        machine.put(file, rules.encode())
        assert cluster.admits("pgleap", asks) is not None
        outcome = scene.up(Phase.PREPARE, 2)
        assert outcome.arrived, outcome.said
        assert cluster.admits("pgleap", asks) is None
