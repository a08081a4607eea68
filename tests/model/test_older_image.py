"""DB_A, the old primary or both are put back to an older image of their disk, at every moment, or lose their journals; whatever is tried then.

What such a server says is of before: it opened on it, or the other side opened without what was acknowledged since.
"""

from __future__ import annotations

import pytest

from agent.journal import JOURNAL_FILE, Authority
from agent.states import Phase
from tests.model.engine import Fault, How
from tests.model.image import Image
from tests.model.moves import Scene, States
from tests.model.test_advice import wrote_behind_the_seal
from tests.model.test_comes_back import TRIES, time_passes
from tests.model.test_lost_servers import dies

OLDER = "restored from an older image"


def nothing_is_lost(scene: Scene) -> None:
    """Of all that was acknowledged, where the old primary takes writes."""
    if scene.takes_writes("db1"):
        (cluster,) = scene.world.primary.running()
        assert scene.world.acknowledged - cluster.content == set()


def each_phase_is_tried(scene: Scene, round_: int) -> str:
    """What a tired person could type; all that was said."""
    said = []
    for one, phase in enumerate(TRIES, start=round_):
        said.append(scene.up(phase, one).said)
        time_passes(scene)
        assert not (scene.takes_writes("db1") and scene.takes_writes("db-a"))
        nothing_is_lost(scene)
    return " -- ".join(said)


def given_up(scene: Scene, round_: int) -> None:
    """As the refusal says: DB_A is powered off, and what it alone has given up."""
    dies(scene, "db-a", "db-a given up")
    back = scene.up(Phase.PREPARE, round_)
    assert back.arrived, back.said
    assert scene.takes_writes("db1")


@pytest.mark.parametrize("taken", ["prepare", "readonly", "upgrade", "cutover, released"])
def test_of_db_a_of_before_it_opened(states: States, taken: str) -> None:
    """It says that it never opened: it opened once more at the fence, or the old primary did, without what it had acknowledged."""
    with states.begun(taken) as scene:
        image = Image.of(scene.world.target)
        for phase in {"prepare": (Phase.READONLY, Phase.CUTOVER)}.get(taken, (Phase.CUTOVER,)):
            outcome = scene.up(phase, 1 if taken != "cutover, released" else 2)
            assert outcome.arrived, outcome.said
        time_passes(scene)
        image.put_back(scene.world.target)
        said = each_phase_is_tried(scene, 3)
        assert (OLDER if taken != "prepare" else "if this server was") in said
        assert not scene.takes_writes("db-a")
        assert not scene.takes_writes("db1")
        given_up(scene, 9)


@pytest.mark.parametrize("taken", ["upgrade", "cutover"])
def test_of_db_a_while_it_is_sealed_on_the_way_back(states: States, taken: str) -> None:
    """Sealed and fenced again it is followed up to a fence of before, and the old primary opens without what came after it."""
    with states.begun(taken) as scene:
        image = Image.of(scene.world.target)
        if taken == "upgrade":
            assert scene.up(Phase.CUTOVER, 1).arrived
        time_passes(scene)
        assert scene.up(Phase.UPGRADE, 2).arrived
        image.put_back(scene.world.target)
        # What nobody has taken yet is nobody's loss: the open image is asked for nothing, names lead to DB_B.
        said = each_phase_is_tried(scene, 3)
        assert OLDER in said
        assert not scene.takes_writes("db1")
        given_up(scene, 9)


@pytest.mark.parametrize("taken", ["prepare", "readonly", "upgrade"])
def test_of_the_old_primary_while_db_a_holds(states: States, taken: str) -> None:
    """Its files say open, or sealed with the authority in hand."""
    with states.begun(taken) as scene:
        image = Image.of(scene.world.primary)
        for phase in {"prepare": (Phase.READONLY, Phase.CUTOVER)}.get(taken, (Phase.CUTOVER,)):
            assert scene.up(phase, 1).arrived
        time_passes(scene)
        image.put_back(scene.world.primary)
        for round_, phase in enumerate(TRIES, start=2):
            assert not scene.up(phase, round_).arrived
            assert scene.takes_writes("db-a")
            if taken != "prepare":  # an image of an open database is open
                assert not scene.takes_writes("db1")


@pytest.mark.parametrize("taken", ["readonly", "upgrade", "cutover, released"])
def test_of_the_old_primary_while_db_a_holds_and_cannot_be_asked(states: States, taken: str) -> None:
    """No replica was told anything, for nobody was called lost: they say that DB_A has not opened."""
    with states.begun(taken) as scene:
        image = Image.of(scene.world.primary)
        outcome = scene.up(Phase.CUTOVER, 1 if taken != "cutover, released" else 2)
        assert outcome.arrived, outcome.said
        time_passes(scene)
        image.put_back(scene.world.primary)
        for cluster in scene.world.target.running():
            scene.world.target.stop(cluster, crash=True)
        for round_, phase in enumerate(TRIES, start=3):
            tried = scene.up(phase, round_)
            assert not scene.takes_writes("db1"), f"{phase}: {tried.said}"


def test_of_both_from_one_moment(states: States) -> None:
    """They agree with each other: only the replicas know that there was more."""
    with states.begun("upgrade") as scene:
        both = {machine: Image.of(machine) for machine in (scene.world.primary, scene.world.target)}
        assert scene.up(Phase.CUTOVER, 1).arrived
        time_passes(scene)
        for machine, image in both.items():
            image.put_back(machine)
        for round_, phase in enumerate(TRIES, start=2):
            scene.up(phase, round_)
            assert not scene.takes_writes("db1")
            assert not scene.takes_writes("db-a")


@pytest.mark.parametrize("then", [TRIES, TRIES[1:], TRIES[2:]], ids=["prepare", "upgrade", "cutover"])
def test_of_db_a_from_right_before_it_opened_before_anybody_has_looked(states: States, then: tuple[Phase, ...]) -> None:
    """It was announced and released to then, and no later journal of it was seen: the release is good for one opening."""
    with states.begun("upgrade") as scene:
        target = scene.world.target
        images: list[Image] = []

        def before(step: str) -> None:
            if step == "db-a-client-gate":
                images.append(Image.of(target))

        faults = {step: Fault(How.BEFORE) for step in ("web1-hosts-file", "db1-reverse-replication")}
        scene.up(Phase.CUTOVER, 1, faults, goes_on=0, before_step=before)
        assert scene.takes_writes("db-a")
        time_passes(scene)
        images[0].put_back(target)
        for round_, phase in enumerate(then, start=2):
            tried = scene.up(phase, round_)
            assert not scene.takes_writes("db-a"), f"{phase}: {tried.said}"
            assert not scene.takes_writes("db1"), f"{phase}: {tried.said}"
        given_up(scene, 9)


def test_what_was_written_behind_the_seal_after_the_release_is_told_with_the_way_that_there_is(states: States) -> None:
    """The way over upgrade is refused then, once it is there: a command is advised that is not accepted."""
    with states.begun("cutover, released") as scene:
        wrote_behind_the_seal("db1")(scene)
        for round_, phase in ((2, Phase.CUTOVER), (3, Phase.UPGRADE)):
            refused = scene.up(phase, round_)
            assert not refused.arrived
            assert "power db-a off" in refused.said, refused.said
            assert "new fence" not in refused.said
        given_up(scene, 4)


@pytest.mark.parametrize("state", ["upgrade", "cutover, released", "cutover", "upgrade, after cutover"])
@pytest.mark.parametrize("name", ["db1", "db-a"])
def test_a_journal_that_is_gone_opens_nothing(states: States, state: str, name: str) -> None:
    """Begun anew it says `holds` on the old primary, and nothing of an opening on DB_A."""
    with states.begun(state) as scene:
        machine = scene.world.machines[name]
        machine.path(JOURNAL_FILE).unlink()
        machine._watched.pop(JOURNAL_FILE)
        open_before = scene.takes_writes("db-a")
        for round_, phase in enumerate(TRIES, start=4):
            scene.up(phase, round_)
            time_passes(scene)
            assert not (scene.takes_writes("db1") and scene.takes_writes("db-a"))
            nothing_is_lost(scene)
            assert scene.takes_writes("db-a") or not open_before


@pytest.mark.parametrize("state", ["cutover, released", "cutover", "upgrade, after cutover"])
def test_a_journal_that_is_gone_beside_a_db_a_that_cannot_be_asked(states: States, state: str) -> None:
    """The rules on the disk are sealed, by nobody who is remembered: DB_A may be open where it is not seen."""
    with states.begun(state) as scene:
        machine = scene.world.primary
        machine.path(JOURNAL_FILE).unlink()
        machine._watched.pop(JOURNAL_FILE)
        for cluster in scene.world.target.running():
            scene.world.target.stop(cluster, crash=True)
        for round_, phase in enumerate(TRIES, start=4):
            scene.up(phase, round_)
            assert not scene.takes_writes("db1")


def test_a_db_a_made_anew_after_the_old_primary_came_back_is_no_older_image(states: States) -> None:
    """The same machine, emptied: refused for a journal of the first try it could never be upgraded, with writes refused already."""
    with states.begun("upgrade, after cutover") as scene:
        assert scene.up(Phase.PREPARE, 3).arrived
        target = scene.world.target
        for cluster in target.running():
            target.stop(cluster, crash=True)
        target.path(JOURNAL_FILE).unlink()
        target._watched.pop(JOURNAL_FILE)
        for phase in (Phase.PREPARE, Phase.READONLY, Phase.CUTOVER):
            outcome = scene.up(phase, 4)
            assert outcome.arrived, outcome.said
        assert scene.authority("db-a") is Authority.HOLDS
