"""The bench of fleets with the real engine: what it counts is what happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.states import Phase
from rehearsal.bench.fleets.config import SMALLEST, roles
from rehearsal.bench.fleets.measure import measure
from rehearsal.bench.fleets.stack import STATE_FILE, WrongStepsError, opened
from rehearsal.engine.engine import ensure

pytestmark = pytest.mark.engine


def test_steps_and_writes_of_a_small_fleet() -> None:
    """Figures of an `up` in which steps were left out would look better, not worse."""
    said: list[str] = []
    found = measure(1, said.append, servers=(SMALLEST,), answer_seconds=0)
    (size,) = found.sizes
    # ready, announce and finish on both sides, the gate, one worker, one drained server, one online server's hosts file, and on
    # the replica where every name leads the sessions of that one and of all; those on the other replica read on. The configuration
    # of the night: the old primary's functions, DB_A's standby, which gets it, and DB_A's gate, which compares once more.
    assert size.up.steps == 3 * 2 + 1 + 3 + 2 + 3
    assert (size.no_op.steps, size.preview.steps) == (0, 0)
    assert sum(roles(size.servers).values()) == size.servers == SMALLEST
    assert size.resources > 5 * size.servers
    assert size.edges > size.resources / 2
    # Before and after each step, at the least; and one at the end.
    assert size.checkpoints.state_writes >= 2 * size.up.steps
    assert size.no_checkpoints.state_writes == 1
    assert size.no_checkpoints.seconds < size.checkpoints.seconds
    for process in (size.up.engine, size.up.program):
        assert process.memory_mib > 30
        assert process.processor_seconds > 0
    assert found.growth is None
    assert said[0] == f"{SMALLEST} servers: to prepare"


def test_a_step_that_ran_twice_or_not_at_all_is_told(tmp_path: Path) -> None:
    """The count must not be of the kind that always comes out right."""
    with opened(ensure(print), tmp_path, SMALLEST, answer_seconds=0) as stack:
        stack.ask(Phase.READONLY)
        stack.up()
        after = stack.state()
        stack.check(after)
        (ran, _), *_ = stack.servers.ran.most_common()
        stack.servers.ran[ran] += 1
        with pytest.raises(WrongStepsError, match=ran):
            stack.check(after)
        stack.servers.ran[ran] -= 2
        with pytest.raises(WrongStepsError, match=ran):
            stack.check(after)
        assert json.loads((stack.pulumi.backend / STATE_FILE).read_text())["checkpoint"]["latest"]["resources"]
