"""The model can see: with a safeguard of the agent's taken away, each of these says what breaks.

A model that reported nothing whatever the agent did would pass every other test here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from agent import (
    authority,
    coming_back,
    journal,
    major_upgrade,
    new_replica,
    old_primary_gate,
    old_replicas,
    older_image,
    retirement,
    seal,
)
from agent.client_sessions import FOLLOWING, INSIDE
from agent.comparison import Difference
from agent.journal import Authority, Journal
from agent.other_side import OtherSide
from agent.report import Facts
from agent.states import Phase
from tests.model.clients import Consumer, write
from tests.model.declared import steps
from tests.model.engine import run_step
from tests.model.moves import Scene, States
from tests.model.process import Fate


def forward(scene: Scene, *phases: Phase) -> str:
    """Walk on, as far as it goes; everything the model and the agent complain of."""
    said = []
    for phase in phases:
        outcome = scene.up(phase, scene.engine.finished[1] if scene.engine.finished else 1)
        said.append(outcome.said)
        if not outcome.arrived:
            break
    return "\n".join([*said, *scene.world.violations])


def test_db_a_opens_without_reading_the_release(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two databases that take writes."""
    monkeypatch.setattr(authority, "may_open_upgrade_target", lambda own, other, next_xid: own.epoch + 1)
    monkeypatch.setattr(OtherSide, "refuses_clients", lambda self, superuser: None)
    # The old replicas know it, too, and after the opening the old primary takes no order of a database that it does not believe.
    monkeypatch.setattr(old_replicas, "refuse_promoted_or_ahead", lambda *_: None)
    monkeypatch.setattr(older_image, "use_up", lambda primary: None)
    opening = next(step for step in steps(Phase.CUTOVER, 1) if step.name == "db-a-client-gate")
    with states.begun("upgrade") as scene:
        # The way back opened the old primary, and its rebuild of DB_A has not begun.
        scene.world.unreachable.add("db-a")
        scene.up(Phase.PREPARE, 2)
        run_step(scene.world, opening, Fate())
        assert "clients can commit on db1 and db-a" in "\n".join(scene.world.violations)


def test_the_seal_ends_no_old_session(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun before the seal is committed after it."""
    monkeypatch.setattr(seal, "_end_clients", lambda postgres, old_rules, grace: 0)
    with states.begun("prepare") as scene:
        assert "clients can commit on db1, whose journal says sealed" in forward(scene, Phase.READONLY)


def test_the_seal_leaves_whoever_streams(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walsender with a database stops streaming and commits, after the fence and after the release."""
    monkeypatch.setattr(seal, "INSIDE", f"{INSIDE} AND NOT {FOLLOWING}")
    with states.begun("prepare") as scene:
        (consumer,) = (one for one in scene.world.clients if isinstance(one, Consumer) and one.to == "db1")
        while consumer.session is None or not consumer.session.follows:
            consumer.act(scene.world)
        scene.world.clients.remove(consumer)  # it goes on streaming, until it has something to write
        scene.up(Phase.READONLY, 1)
        assert "clients can commit on db1, whose journal says sealed" in "\n".join(scene.world.violations)


def test_the_journal_is_written_after_the_act(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """A death in between leaves an open database that says it is sealed."""

    def opened_first(desired: Mapping[str, Any], postgres: Any, own: Journal, other: Any) -> Facts:
        changed = seal.unseal(postgres, [other.address])
        journal.update(postgres.server, authority=Authority.HOLDS, epoch=own.epoch + 1, fence=None)
        return {"changed": changed, "because": "opened"}

    monkeypatch.setattr(old_primary_gate, "_open", opened_first)
    with states.begun("readonly") as scene:
        scene.up(Phase.PREPARE, 2)
        assert "clients can commit on db1, whose journal says sealed" in "\n".join(scene.world.violations)


def test_the_old_primary_opens_without_what_db_a_took(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes of hours are gone, and nobody is told."""
    monkeypatch.setattr(coming_back, "bring_rows", lambda *arguments: ([], Difference([], [], {})))
    with states.begun("upgrade, after cutover") as scene:
        # The old primary lags behind a DB_A that took one write more.
        scene.world.lagging.add("db1")
        target, primary = scene.world.target.running()[0], scene.world.primary.running()[0]
        missing = max(target.content)
        primary.content.discard(missing)
        assert missing in scene.world.acknowledged
        scene.up(Phase.PREPARE, 3)
        assert "acknowledged writes are not on db1" in "\n".join(scene.world.violations)


def test_db_a_is_promoted_before_it_has_replayed_the_fence(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledged writes are missing where writes go on."""
    monkeypatch.setattr(major_upgrade, "wait_until", lambda *arguments: None)
    with states.begun("prepare") as scene:
        scene.world.lagging.add("db-a")

        def writes(step: str) -> None:
            """Right before the seal more is written than a DB_A that lags can replay in the steps that are left."""
            if step == "db1-client-gate":
                cluster = scene.world.primary.running()[0]
                session = cluster.login("app", "10.77.0.31", scene.world.clock)
                for _ in range(50):
                    write(scene.world, cluster, session)

        scene.up(Phase.READONLY, 1, before_step=writes)
        assert "acknowledged writes are not on db-a" in forward(scene, Phase.UPGRADE, Phase.CUTOVER)


def test_a_replica_of_the_db_a_of_before_is_taken_for_one_of_this(
    states: States, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads that are answered with what a DB_A held that is no more."""
    is_of_another, wait = new_replica._is_of_another, new_replica._wait_for_stream
    monkeypatch.setattr(new_replica, "_is_of_another", lambda it: it.name != "db-d" and is_of_another(it))
    monkeypatch.setattr(new_replica, "_wait_for_stream", lambda it: 0 if it.name == "db-d" else wait(it))
    with states.begun("replicas") as scene:
        scene.go_back(2)
        said = forward(scene, *list(Phase)[1:5])
        assert "leads to db-d, which does not follow DB_A" in said


def test_an_old_server_is_stopped_whoever_is_there(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever read there is cut off."""
    monkeypatch.setattr(retirement, "refuse_clients", lambda postgres, seconds: None)
    with states.begun("replicas") as scene:

        def somebody(step: str) -> None:
            if step == "db3-retirement":
                scene.world.machines["db3"].running()[0].login("app", "10.77.0.31", scene.world.clock)

        scene.up(Phase.RETIRE, 1, before_step=somebody)
        assert "db3 was stopped under app" in "\n".join(scene.world.violations)


def test_the_fence_is_taken_while_a_transaction_holds_an_id(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fence with a write after it proves nothing."""
    monkeypatch.setattr(authority, "proven", lambda own, next_xid: own.fence)
    monkeypatch.setattr(seal, "_end_clients", lambda postgres, old_rules, grace: 0)
    monkeypatch.setattr(seal, "is_whole", lambda postgres, quiet=True: None)
    monkeypatch.setattr(seal, "take_fence", lambda postgres: journal.Fence(1, "0/1"))
    monkeypatch.setattr(old_replicas, "refuse_promoted_or_ahead", lambda *_: None)
    monkeypatch.setattr(older_image, "refuse_used_up", lambda *_: None)
    with states.begun("prepare") as scene:
        said = forward(scene, Phase.READONLY, Phase.UPGRADE, Phase.CUTOVER)
        assert "clients can commit on db1 and db-a" in said
        assert "acknowledged writes are not on db-a" in said
