"""A database server that was called lost comes back, at every moment, and a tired person takes `lost` out again.

Whatever is tried then: never two databases that take writes, and no acknowledged write is lost.
"""

from __future__ import annotations

import re

import pytest

from agent.client_rules import with_seal
from agent.journal import JOURNAL_FILE, Authority
from agent.states import Phase
from tests.model.engine import Fault, How
from tests.model.moves import MADE_BY, Moment, Move, Scene, States
from tests.model.test_lost_servers import broken, dies

WITHOUT_DB1 = ("readonly", "upgrade", "cutover, not released", "cutover, released", "upgrade, after cutover")
# What a tired person could type, in any order.
TRIES = (Phase.PREPARE, Phase.UPGRADE, Phase.CUTOVER, Phase.PREPARE)
ANNOUNCED = "db-a not to have opened without this server"


def comes_back(scene: Scene, name: str) -> None:
    """It has power again, and starts with the machine; the operator takes `lost` out."""
    scene.world.unreachable.discard(name)
    scene.world.machines[name].boot()
    scene.engine.without = ""
    scene.world.look(f"after {name} came back")
    time_passes(scene)


def time_passes(scene: Scene) -> None:
    for _ in range(30):
        scene.world.move()


def go_on_without_db1(scene: Scene, round_: int, failing: str = "") -> bool:
    """Cutover without the old primary; whether DB_A has opened."""
    scene.engine.without = "db1 lost"
    faults = {failing: Fault(How.BEFORE)} if failing else {}
    scene.up(Phase.CUTOVER, round_, faults, goes_on=0)
    time_passes(scene)
    return scene.takes_writes("db-a")


def never_two(scene: Scene) -> None:
    """What may never be, whoever died."""
    assert not (scene.takes_writes("db1") and scene.takes_writes("db-a"))
    found = [what for what in broken(scene) if "commit on" in what or "acknowledged" in what or "holds" in what]
    assert found == []


def typed(said: str) -> tuple[Phase, int]:
    """The last command of a refusal that goes on without the old primary, as an engine's `up` has it."""
    assert "pulumi config set --path servers.db1.lost true" in said
    *_, (phase, round_) = re.findall(
        r"servers\.db1\.lost true && pulumi config set phase (\w+) && .* round (\d+)", said
    )
    return Phase(phase), int(round_)


@pytest.mark.parametrize("failing", ["", "web1-hosts-file"])
@pytest.mark.parametrize("start", WITHOUT_DB1)
def test_what_another_opened_without_is_not_taken_back(states: States, start: str, failing: str) -> None:
    """Its own journal remembers a seal, or a release, and nothing of a DB_A that has taken writes since."""
    with states.begun(start) as scene:
        dies(scene, "db1", "db1 lost")
        assert go_on_without_db1(scene, 2 if start == "upgrade, after cutover" else 1, failing)
        comes_back(scene, "db1")
        said = ""
        for round_, phase in enumerate(TRIES, start=3):
            tried = scene.up(phase, round_)
            assert not tried.arrived
            said = tried.said if "without this server" in tried.said else said
            assert scene.takes_writes("db-a"), f"{phase}: {tried.said}"
            time_passes(scene)
            never_two(scene)
        assert ANNOUNCED in said
        phase, round_ = typed(said)
        scene.engine.without = "db1 lost"
        dies(scene, "db1", "db1 lost")
        onwards = scene.up(phase, round_ + len(TRIES))
        assert onwards.arrived, onwards.said
        never_two(scene)


@pytest.mark.parametrize("start", WITHOUT_DB1)
def test_a_db_a_that_does_not_answer_is_not_believed_gone(states: States, start: str) -> None:
    """DB_A starts again in a moment, open, and the network between the two may be cut: only the replicas tell."""
    with states.begun(start) as scene:
        dies(scene, "db1", "db1 lost")
        assert go_on_without_db1(scene, 2 if start == "upgrade, after cutover" else 1, "web1-hosts-file")
        for cluster in scene.world.target.running():
            scene.world.target.stop(cluster, crash=True)
        comes_back(scene, "db1")
        for round_, phase in enumerate(TRIES, start=3):
            tried = scene.up(phase, round_)
            assert not tried.arrived
            assert not scene.takes_writes("db1"), f"{phase} in round {round_}"
        # A person's word: DB_A is gone for good, with what it took.
        scene.engine.without = "db-a lost"
        scene.world.unreachable.add("db-a")
        refused = scene.up(Phase.PREPARE, 9)
        assert "acceptDataLoss true" in refused.said
        assert not scene.takes_writes("db1")
        scene.engine.without = ""
        scene.world.unreachable.clear()
        scene.world.target.boot()
        time_passes(scene)
        assert scene.takes_writes("db-a")
        never_two(scene)


def test_given_up_by_a_persons_word_the_old_primary_opens(states: States) -> None:
    """Otherwise a DB_A that died right after it had opened would leave nobody."""
    with states.begun("upgrade") as scene:
        dies(scene, "db1", "db1 lost")
        assert go_on_without_db1(scene, 1, "web1-hosts-file")
        dies(scene, "db-a", "db-a given up")
        scene.world.unreachable.discard("db1")
        scene.world.machines["db1"].boot()
        back = scene.up(Phase.PREPARE, 2)
        assert back.arrived, back.said
        assert scene.takes_writes("db1")
        assert not any("commit on db1 and" in found for found in scene.world.violations)


def test_one_that_had_released_comes_back_if_db_a_opened_on_that(states: States) -> None:
    """It is where it was, and follows again: nothing was opened without it."""
    with states.begun("cutover") as scene:
        dies(scene, "db1", "db1 lost")
        assert go_on_without_db1(scene, 1)
        comes_back(scene, "db1")
        assert not scene.up(Phase.PREPARE, 2).arrived
        again = scene.up(Phase.CUTOVER, 2)
        assert again.arrived, again.said
        scene.go_back(3)
        assert broken(scene) == []


CUTOVER = MADE_BY["cutover"]
STRAIGHT = MADE_BY["cutover, with upgrade"]


@pytest.mark.parametrize("silent", [False, True], ids=["answers", "silent"])
@pytest.mark.parametrize("move", [CUTOVER, STRAIGHT, Move("upgrade, after cutover", Phase.PREPARE, 3)], ids=str)
def test_the_old_primary_dies_before_each_step_and_comes_back(states: States, move: Move, silent: bool) -> None:
    """Wherever it stood when it died, and whether DB_A could open without it or not."""
    for moment in each_other(states.moments(move)):
        with states.again(moment.saved) as scene:
            dies(scene, "db1", "")
            scene.up(move.phase, move.round)
            opened = go_on_without_db1(scene, move.round + (move.phase is Phase.PREPARE))
            if silent:
                for cluster in scene.world.target.running():
                    scene.world.target.stop(cluster, crash=True)
            comes_back(scene, "db1")
            for round_, phase in enumerate((Phase.PREPARE, Phase.CUTOVER, Phase.PREPARE), start=move.round + 2):
                scene.up(phase, round_)
                never_two(scene)
            scene.world.target.boot()
            time_passes(scene)
            never_two(scene)
            assert scene.takes_writes("db-a") or not opened, moment.step
            assert scene.takes_writes("db-a") or scene.takes_writes("db1"), f"{moment.step}: nobody takes writes"


def each_other(moments: list[Moment]) -> list[Moment]:
    """Those before steps that decide, and a few of the others."""
    decide = [one for one in moments if one.step.startswith(("db1-", "db-a-")) and "agent" not in one.step]
    return [*decide, *[one for one in moments if one not in decide][::9]]


@pytest.mark.parametrize("move", [MADE_BY["readonly"], MADE_BY["upgrade"], CUTOVER], ids=str)
def test_a_db_a_that_dies_before_each_step_comes_back_as_a_standby(states: States, move: Move) -> None:
    """Called lost before it had opened, it is built anew, and nothing that it remembers opens it."""
    for moment in each_other(states.moments(move)):
        with states.again(moment.saved) as scene:
            if scene.authority("db1") is Authority.RELEASED:
                continue  # only a person's word gives that up: see test_lost_servers
            dies(scene, "db-a", "")
            scene.up(move.phase, 1)
            if scene.authority("db1") is Authority.RELEASED:
                continue
            scene.engine.without = "db-a lost"
            back = scene.up(Phase.PREPARE, 2)
            assert back.arrived, f"{moment.step}: {back.said}"
            assert scene.takes_writes("db1")
            comes_back(scene, "db-a")
            for round_, phase in enumerate((Phase.CUTOVER, Phase.PREPARE), start=3):
                tried = scene.up(phase, round_)
                never_two(scene)
            assert tried.arrived, f"{moment.step}: {tried.said}"
            assert scene.takes_writes("db1")


def test_nobody_to_ask_wants_a_persons_word(states: States) -> None:
    """DB_A and every replica out of sight: what it does there nobody here can know."""
    with states.begun("upgrade") as scene:
        for name in ("db-a", "db2", "db3"):
            machine = scene.world.machines[name]
            for cluster in machine.running():
                machine.stop(cluster, crash=True)
        refused = scene.up(Phase.PREPARE, 2)
        assert "none of them can be asked from here" in refused.said
        assert not scene.takes_writes("db1")
        assert (
            "pulumi config set --path servers.db-a.lost true && pulumi config set round 3 && pulumi up" in refused.said
        )
        scene.engine.without = "db-a lost"
        scene.world.unreachable.add("db-a")
        scene.up(Phase.PREPARE, 3)
        assert scene.takes_writes("db1")


@pytest.mark.parametrize("start", ["readonly", "upgrade"])
def test_one_replica_that_answers_is_enough(states: States, start: str) -> None:
    """A DB_A that pg_upgrade left stopped is what most ways back begin with."""
    with states.begun(start) as scene:
        for name in ("db-a", "db3"):
            machine = scene.world.machines[name]
            for cluster in machine.running():
                machine.stop(cluster, crash=True)
        scene.up(Phase.PREPARE, 2)
        assert scene.takes_writes("db1")


def test_what_the_replicas_were_told_in_vain_holds_nobody_up(states: States) -> None:
    """The old primary was called lost, and came back before DB_A opened."""
    with states.begun("upgrade") as scene:
        dies(scene, "db1", "db1 lost")
        scene.up(Phase.CUTOVER, 1, {"db-a-client-gate": Fault(How.BEFORE)}, goes_on=0)
        assert not scene.takes_writes("db-a")
        comes_back(scene, "db1")
        back = scene.up(Phase.PREPARE, 2)
        assert back.arrived, back.said
        assert scene.takes_writes("db1")
        # And it is forgotten: a DB_A that is stopped later is no DB_A that may have opened.
        for phase in (Phase.READONLY, Phase.UPGRADE):
            assert scene.up(phase, 2).arrived
        for cluster in scene.world.target.running():
            scene.world.target.stop(cluster, crash=True)
        scene.up(Phase.PREPARE, 3)
        assert scene.takes_writes("db1")


def test_an_old_primary_that_opened_again_and_died_at_once_is_not_forgotten(states: States) -> None:
    """No client has written yet: only pgleap's own transaction tells that it was open."""
    with states.begun("upgrade") as scene:
        world = scene.world
        world.clients.clear()
        world.unreachable.add("db-a")
        scene.up(Phase.PREPARE, 2)
        assert scene.authority("db1") is Authority.HOLDS
        world.unreachable.clear()
        primary = world.primary.running()[0]
        primary.settings["autovacuum"] = "off"
        time_passes(scene)
        dies(scene, "db1", "db1 lost")
        refused = scene.up(Phase.CUTOVER, 2)
        assert "of the old primary's than 1" in refused.said or "knows of all before id" in refused.said
        assert scene.authority("db-a") is not Authority.HOLDS


def test_the_way_back_proves_db_a_right_before_the_old_primary_opens(states: States) -> None:
    """Somebody lets clients in on DB_A again: two databases would take writes, and what DB_A takes is lost."""
    with states.begun("upgrade, after cutover") as scene:
        unseal(scene)
        time_passes(scene)
        scene.world.violations.clear()
        refused = scene.up(Phase.PREPARE, 3)
        assert not refused.arrived
        assert "db-a to refuse clients" in refused.said
        assert not scene.takes_writes("db1")


def test_what_was_written_on_db_a_after_its_fence_is_not_lost(states: States) -> None:
    """Sealed again in between, it looks as if nothing had happened."""
    with states.begun("upgrade, after cutover") as scene:
        (cluster,) = scene.world.target.running()
        cluster.next_xid += 1
        cluster.completed += 1
        refused = scene.up(Phase.PREPARE, 3)
        assert "nothing written on DB_A since its fence" in refused.said
        assert not scene.takes_writes("db1")
        assert broken(scene) == []


def test_a_standby_that_has_replayed_more_than_its_fence_is_not_promoted_at_it(states: States) -> None:
    """The fence is of a seal that was taken back while DB_A could not be told; here no replica is left to say so."""
    with states.begun("readonly") as scene:
        world = scene.world
        replicas = [world.machines[name] for name in ("db2", "db3")]
        world.unreachable |= {"db-a"}
        for replica in replicas:
            replica.stop(replica.running()[0], crash=True)
        scene.up(Phase.PREPARE, 2)
        assert scene.takes_writes("db1")
        time_passes(scene)
        world.unreachable.clear()
        world.violations.clear()
        dies(scene, "db1", "db1 lost")
        for replica in replicas:
            replica.boot()
        refused = scene.up(Phase.UPGRADE, 2)
        assert "nothing replayed here after the fence" in refused.said
        assert broken(scene) == []


def unseal(scene: Scene) -> None:
    target = scene.world.target
    (cluster,) = target.running()
    hba = f"{cluster.config}/pg_hba.conf"
    target.put(hba, with_seal(target.text(hba), False).encode())
    target.reload(cluster)


def test_an_older_image_of_the_old_primary_is_not_opened(states: States) -> None:
    """Its files say sealed, or open, of before DB_A took over."""
    with states.begun("upgrade") as scene:
        journal = scene.world.primary.text(JOURNAL_FILE).encode()
        for phase in (Phase.CUTOVER,):
            assert scene.up(phase, 1).arrived
        scene.world.primary.put(JOURNAL_FILE, journal)
        for round_, phase in enumerate(TRIES, start=2):
            tried = scene.up(phase, round_)
            assert not tried.arrived
            assert not scene.takes_writes("db1")
        assert scene.takes_writes("db-a")


def test_an_older_image_of_db_a_is_not_opened_again(states: States) -> None:
    """It would begin at the fence once more, without what it has acknowledged since."""
    with states.begun("upgrade") as scene:
        journal = scene.world.target.text(JOURNAL_FILE).encode()
        assert scene.up(Phase.CUTOVER, 1).arrived
        scene.world.target.put(JOURNAL_FILE, journal)
        refused = scene.up(Phase.CUTOVER, 2)
        assert "restored from an older image" in refused.said
        assert scene.authority("db-a") is Authority.NONE


@pytest.mark.parametrize("name", ["db1", "db-a"])
def test_a_copy_on_another_machine_is_told_nothing_and_opens_nothing(states: States, name: str) -> None:
    """A clone at the server's address has its journal, and is not the server."""
    with states.begun("upgrade") as scene:
        scene.world.machines[name].put("/etc/machine-id", b"another\n")
        for phase, round_ in ((Phase.CUTOVER, 1), (Phase.PREPARE, 2)):
            refused = scene.up(phase, round_)
            assert "a copy of it, or its disk was put here" in refused.said
            if name == "db1":
                assert not scene.takes_writes("db1")
        assert not scene.takes_writes("db-a")
