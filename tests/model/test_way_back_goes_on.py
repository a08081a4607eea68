"""The way back from a DB_A that had opened, disturbed: whatever was announced, and wherever it stopped, it goes on or DB_A opens again."""

from __future__ import annotations

import pytest

from agent.journal import Authority
from agent.own_names import SLOT
from agent.states import Phase
from tests.model.cluster import Cluster
from tests.model.engine import Fault, How
from tests.model.moves import Scene, States

BACK = "upgrade, after cutover"


def cluster(scene: Scene, name: str) -> Cluster:
    """The cluster that runs on a server."""
    (found,) = scene.world.machines[name].running()
    return found


def opens_again(scene: Scene, round_: int) -> None:
    """DB_A takes writes again, with everything, and is followed."""
    outcome = scene.up(Phase.CUTOVER, round_)
    assert outcome.arrived, outcome.said
    assert scene.takes_writes("db-a")
    assert not scene.takes_writes("db1")
    subscription = cluster(scene, "db1").subscription
    assert subscription is not None
    assert subscription.enabled
    assert not scene.world.violations, scene.world.violations


def comes_back(scene: Scene, round_: int) -> None:
    outcome = scene.up(Phase.PREPARE, round_)
    assert outcome.arrived, outcome.said
    assert scene.takes_writes("db1")
    assert not scene.takes_writes("db-a")
    assert not scene.world.violations, scene.world.violations


@pytest.mark.parametrize("round_", [3, 4], ids=["same round", "higher round"])
def test_db_b_that_was_late_keeps_nobody_from_arriving_later(states: States, round_: int) -> None:
    """All was applied, and the subscriptions were disabled; what then asks for enabled ones never goes on."""
    with states.begun(BACK) as scene:
        db2, streaming = scene.world.machines["db2"], cluster(scene, "db2")
        db2.stop(streaming, crash=True)
        refused = scene.up(Phase.PREPARE, 3)
        assert "DB_B to replay up to" in refused.said
        db2.start(streaming)
        scene.world.violations.clear()  # nobody could read while it was down
        comes_back(scene, round_)


def test_the_old_primarys_gate_dies_at_each_of_its_moments(states: States) -> None:
    """A crash between two of its writes must leave something that the next run goes on from, and from which DB_A can open again."""
    with states.begun(BACK) as scene:
        arrived = scene.up(Phase.PREPARE, 3)
        assert arrived.arrived, arrived.said
        moments = scene.engine.moments["db1-client-gate"]
    assert moments > 5
    for moment in range(1, moments):
        for way in ("again", "higher round", "upgrade", "cutover"):
            with states.begun(BACK) as scene:
                scene.up(Phase.PREPARE, 3, {"db1-client-gate": Fault(How.DIES, moment)}, goes_on=0)
                if way == "again":
                    comes_back(scene, 3)
                elif way == "higher round":
                    comes_back(scene, 4)
                elif scene.authority("db1") is Authority.HOLDS:
                    refused = scene.up(Phase(way), 4)
                    assert "prepare to be finished first" in refused.said
                    comes_back(scene, 5)
                elif way == "upgrade":
                    sealed = scene.up(Phase.UPGRADE, 4)
                    assert sealed.arrived, sealed.said
                    comes_back(scene, 5)
                else:
                    opens_again(scene, 4)


@pytest.mark.parametrize("begun", ["prepare", "upgrade"])
def test_cutover_can_be_had_from_a_way_back_that_is_not_finished(states: States, begun: str) -> None:
    """Both are sealed, and what the refusal advises is refused: nobody takes writes any more."""
    with states.begun(BACK) as scene:
        if begun == "prepare":
            cluster(scene, "db1").content.add(10**9)
            refused = scene.up(Phase.PREPARE, 3)
            assert "every table here equal to DB_A's" in refused.said
        else:
            scene.up(Phase.UPGRADE, 3, {"db1-finish": Fault(How.BEFORE)})
        # The row that nobody knows of would be a lost write, were it one.
        opens_again(scene, 4)
        back = scene.up(Phase.UPGRADE, 5)
        assert back.arrived, back.said
        cluster(scene, "db1").content.discard(10**9)
        comes_back(scene, 6)


@pytest.mark.parametrize("same_round", [True, False])
def test_a_stream_that_stopped_is_tried_again_once_its_row_is_mended(states: States, same_round: bool) -> None:
    """`disable_on_error` has disabled it; "mend that row, raise the round, pulumi up" is what the refusal says, in prepare as well."""
    with states.begun("cutover") as scene:
        scene.world.lagging.add("db1")
        for _ in range(50):
            scene.world.move()
        back = scene.up(Phase.UPGRADE, 2)
        assert back.arrived, back.said
        old = cluster(scene, "db1")
        scene.world.lagging.clear()
        old.in_the_way = True
        assert scene.world.acknowledged - old.content, "nothing was left to be applied"
        refused = scene.up(Phase.PREPARE, 3)
        assert "applied here" in refused.said
        assert "postgres stopped following" in refused.said
        assert old.subscription is not None
        assert not old.subscription.enabled
        old.in_the_way = False
        comes_back(scene, 3 if same_round else 4)


def test_a_cutover_that_one_web_server_held_up_is_followed_before_ready_looks(states: States) -> None:
    """The old primary had never subscribed, and nothing said so: writes were refused for as long as it took to catch up."""
    with states.begun("upgrade", "more lag than a record") as scene:
        failed = scene.up(Phase.CUTOVER, 1, {"web1-hosts-file": Fault(How.BEFORE)}, goes_on=0)
        assert not failed.arrived
        assert cluster(scene, "db1").subscription is None
        for _ in range(400):
            scene.world.move()
        scene.world.lagging.add("db1")
        refused = scene.up(Phase.UPGRADE, 2)
        assert "the old primary to follow DB_A closely, in every database" in refused.said
        assert scene.takes_writes("db-a"), "nobody is refused a write before it has caught up"
        scene.world.lagging.clear()
        for _ in range(50):
            scene.world.move()
        back = scene.up(Phase.UPGRADE, 3)
        assert back.arrived, back.said
        comes_back(scene, 4)


def test_a_prepared_transaction_on_db_a_is_found_while_db_a_is_open(states: States) -> None:
    """It would outlast DB_A's seal: half a minute of refused writes, then nothing goes on."""
    with states.begun("cutover") as scene:
        new = cluster(scene, "db-a")
        new.prepared["left over"] = (new.next_xid, [])
        new.next_xid += 1
        refused = scene.up(Phase.UPGRADE, 2)
        assert "the prepared transaction left over" in refused.said
        assert scene.takes_writes("db-a")
        new.commit_prepared("left over")
        back = scene.up(Phase.UPGRADE, 2)
        assert back.arrived, back.said
        comes_back(scene, 3)
        assert SLOT in cluster(scene, "db1").slots


def test_a_db_a_that_was_called_lost_and_lives_is_gone_on_with(states: States) -> None:
    """Prepare was announced, and refused because DB_A answers: `lost` is taken out, and no move there is may be refused."""
    for phase in (Phase.CUTOVER, Phase.UPGRADE):
        with states.begun("cutover") as scene:
            scene.engine.without = "db-a given up"
            refused = scene.up(Phase.PREPARE, 2)
            assert "which the stack calls lost, to answer nobody" in refused.said
            scene.engine.without = ""
            gone_on = scene.up(phase, 3)
            assert gone_on.arrived, gone_on.said
            if phase is Phase.UPGRADE:
                comes_back(scene, 4)
            else:
                opens_again(scene, 3)
