"""`--target`, `--exclude` and `--continue-on-error`: never to be used in a move, and no harm if somebody does.

components/step.py's guard is modelled, not run: a step that the engine left out with changed inputs does not stand, and what waits
for it fails. A delivery of the agent has no such guard; the agent's installation after it fails or finds the one of before.
"""

from __future__ import annotations

import random

import pytest

from tests.model.declared import steps
from tests.model.engine import Fault, How
from tests.model.moves import MOVES, Move, States

TRIES = 8


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_steps_left_out_do_no_harm(states: States, move: Move) -> None:
    """An operator in a hurry leaves out the server that hangs, and with it the step that closed the old primary's gate."""
    names = sorted(step.name for step in steps(move.phase, move.round))
    for number in range(TRIES):
        rng = random.Random(number)
        left_out = frozenset(rng.sample(names, rng.randint(1, len(names) // 2)))
        with states.begun(move.start) as scene:
            scene.up(move.phase, move.round, left_out=left_out, seed=number)
            assert not scene.world.violations, (sorted(left_out), scene.world.violations)
            whole = scene.up(move.phase, move.round, seed=number)
            assert whole.arrived, whole.said
            assert not scene.world.violations, (sorted(left_out), scene.world.violations)


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_going_on_after_an_error_does_no_harm(states: States, move: Move) -> None:
    """Everything that can still run runs, whatever failed beside it."""
    for moment in states.moments(move):
        with states.begun(move.start) as scene:
            scene.up(move.phase, move.round, {moment.step: Fault(How.BEFORE)}, goes_on=1)
            again = scene.up(move.phase, move.round)
            assert again.arrived, again.said
            assert not scene.world.violations, (moment.step, scene.world.violations)
