"""A step of another phase that reaches a server by itself: from another checkout, by hand, or long after it was asked for."""

from __future__ import annotations

import pytest

from agent.states import Phase
from tests.model.declared import DeclaredStep, steps
from tests.model.engine import run_step
from tests.model.invariants import broken
from tests.model.moves import CRITICAL, MOVES, Move, Scene, States
from tests.model.process import Fate

DECIDING = ("db1-client-gate", "db-a-client-gate", "db-a-database")
# As each phase has it, and not twice the same.
STRAYS = {step.inputs: step for phase in Phase for step in steps(phase, 1) if step.name in DECIDING}.values()


def dangerous(scene: Scene) -> list[str]:
    """What may not be broken, whoever asks for what: two databases, the wrong one, writes that are lost."""
    return [
        what
        for what in broken(scene.world) + scene.world.violations
        if "commit" in what or "holds" in what or "acknowledged" in what
    ]


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_a_stray_step_opens_no_second_database(states: States, move: Move) -> None:
    """A step's place in the order protects nothing here: only journals, read live and right before the act, do."""
    wrong = []
    for moment in states.moments(move):
        # Between two looks that changed nothing there is nothing new to meet.
        if moment.moments <= 2 and moment.step not in CRITICAL:
            continue
        for stray in STRAYS:
            with states.again(moment.saved) as scene:
                run_step(scene.world, stray, Fate())
                wrong += [f"{said(stray)} before {moment.step}: {what}" for what in dangerous(scene)]
    assert wrong == []


def said(step: DeclaredStep) -> str:
    return f"{step.name} ({step.desired.get('gate') or step.desired.get('database')})"
