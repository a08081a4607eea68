"""Moves that nothing disturbs, moves that are none, and the engine model held against the real engine."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from agent import preflight
from agent.report import Refusal
from agent.states import MOVES as NEXT
from agent.states import Phase, goes_back
from tests.components.stack import FORWARD, Snapshots
from tests.model.declared import DELIVER, WITHOUT, as_declared, steps
from tests.model.engine import Outcome
from tests.model.moves import MADE_BY, NEW, Move, States

FORWARD_MOVES = [MADE_BY[phase] for phase in FORWARD]


@pytest.mark.engine
@pytest.mark.parametrize("move", FORWARD_MOVES, ids=str)
def test_the_model_runs_what_the_real_engine_runs(states: States, snapshots: Snapshots, move: Move) -> None:
    """A model with an engine of its own making would prove something about a program that nobody runs."""
    with states.begun(move.start) as scene:
        outcome = scene.up(move.phase, move.round)
    assert outcome.arrived, outcome.said
    ran = [(step.server, step.verb) for step in outcome.ran if step.verb != DELIVER]
    assert sorted(ran) == sorted(snapshots.steps(move.phase.value))


@pytest.mark.parametrize("phase", Phase)
def test_a_higher_round_changes_nothing_but_the_round(phase: Phase) -> None:
    """The model declares each phase once: a step that round 7 alone had would never be tried."""
    assert as_declared(phase, 7) == tuple(
        replace(step, inputs=told.inputs) for step, told in zip(steps(phase, 7), as_declared(phase, 1), strict=True)
    )


@pytest.mark.parametrize("state", FORWARD)
def test_looking_again_changes_nothing(states: States, state: str) -> None:
    """A step that does something each time it looks is not repaired drift but a fault of its own."""
    with states.begun(state) as scene:
        phase = Phase(state)
        assert scene.up(phase, 1).ran == []
        again = scene.up(phase, 2)
        assert again.arrived, again.said
        assert not scene.world.violations, scene.world.violations
        changed = {name: facts["changed"] for name, facts in again.facts.items() if facts["changed"]}
        assert all(name.endswith(("-announce", "-finish")) for name in changed), changed


@pytest.mark.parametrize("order", range(12))
def test_any_order_that_the_waiting_allows_is_safe(states: States, order: int) -> None:
    """The engine promises no order beyond what steps wait for; one that happened to be good would be luck."""
    with states.begun(NEW) as scene:
        for phase in Phase:
            outcome = scene.up(phase, 1, seed=order)
            assert outcome.arrived, outcome.said
        assert not scene.world.violations, scene.world.violations
        assert scene.takes_writes("db-a")


@pytest.mark.parametrize("without", [name for name in WITHOUT if name])
def test_a_fleet_without_a_part(states: States, without: str) -> None:
    """An empty part that hands on nothing lets what follows run at once."""
    with states.begun(NEW, without) as scene:
        for round_, furthest in enumerate((Phase.READONLY, Phase.UPGRADE, Phase.RETIRE), start=1):
            for phase in list(Phase)[: list(Phase).index(furthest) + 1]:
                outcome = scene.up(phase, round_)
                assert outcome.arrived, outcome.said
        assert scene.takes_writes("db-a")
        assert not scene.world.violations, scene.world.violations


def refused_untouched(states: States, state: str, phase: Phase, round_: int) -> Outcome:
    with states.begun(state) as scene:
        before = scene.world.looks
        outcome = scene.up(phase, round_)
        assert scene.world.looks == before, f"{outcome.ran} ran"
    return outcome


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (state, phase)
        for state in (NEW, *FORWARD)
        for phase in Phase
        if phase != state and phase not in (NEXT[Phase(state)] if state != NEW else (Phase.PREPARE,))
    ],
)
def test_what_is_no_move_is_refused_before_any_step(states: States, state: str, phase: Phase) -> None:
    """A step that ran before the refusal would leave the fleet between two phases."""
    said = re.search(r"To do: pulumi config set phase (\w+)", refused_untouched(states, state, phase, 5).refused)
    assert said is not None
    if state not in (NEW, "retire"):
        assert goes_back(Phase(state), Phase(said[1])) is goes_back(Phase(state), phase), (
            "it sends on who asks to go back"
        )


@pytest.mark.parametrize("state", ["readonly", "upgrade", "cutover", "replicas"])
def test_back_needs_a_higher_round(states: States, state: str) -> None:
    """To the engine nothing would have changed where a step failed, and the way back would do nothing there."""
    backwards = [phase for phase in NEXT[Phase(state)] if goes_back(Phase(state), phase)]
    for phase in backwards:
        assert not refused_untouched(states, state, phase, 1).arrived


def test_a_stale_round_is_refused_by_the_stack_and_by_the_servers(states: States) -> None:
    """A colleague's `up` from last week's checkout would undo the night; with last week's state no output would tell."""
    with states.begun("prepare") as scene:
        colleague = replace(scene.engine, state=dict(scene.engine.state))
        assert scene.up(Phase.PREPARE, 3).arrived
        assert "stale checkout" in scene.up(Phase.PREPARE, 2).refused
        stale = colleague.up(scene.world, Phase.READONLY, 2)
        assert "is stale" in stale.said
        assert {step.verb for step in stale.ran} <= {DELIVER, "install", "ready", "announce"}, "ready only looks"
        assert scene.takes_writes("db1")
        assert not scene.world.violations, scene.world.violations


def test_a_prepared_transaction_stops_the_move_before_anybody_is_refused(states: States) -> None:
    """It would outlast the seal, and could be committed after the fence."""
    with states.begun("prepare") as scene:
        cluster = scene.world.primary.running()[0]
        cluster.prepared["left over"] = (cluster.next_xid, [scene.world.new_id()])
        cluster.next_xid += 1
        outcome = scene.up(Phase.READONLY, 1)
        assert "the prepared transaction left over" in outcome.said
        assert scene.takes_writes("db1")
        scene.world.acknowledged.update(cluster.commit_prepared("left over"))
        for phase in list(Phase)[1:]:
            again = scene.up(phase, 1)
            assert again.arrived, again.said
        assert not scene.world.violations, scene.world.violations


def test_what_preflight_refuses_leaves_a_finished_prepare(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused after it was announced, readonly would have to be gone back from, though nothing had happened."""

    def refuse(*_: object) -> None:
        raise Refusal("no check of preflight to refuse", "reg-types: shop.planted", "drop it")

    with states.begun("prepare") as scene:
        with monkeypatch.context() as patched:
            patched.setattr(preflight, "refuse_open", refuse)
            refused = scene.up(Phase.READONLY, 1)
        assert "reg-types" in refused.said
        assert not scene.has_been_in(Phase.READONLY)
        assert scene.takes_writes("db1")
        for phase in (Phase.PREPARE, Phase.READONLY):  # in the same round
            outcome = scene.up(phase, 1)
            assert outcome.arrived, outcome.said
        assert not scene.world.violations, scene.world.violations
