"""An `up` as the rehearsal records it: each step with its own time, by the real engine's events."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rehearsal import recording
from tests.components.simulation import Fault
from tests.components.stack import Stack

pytestmark = pytest.mark.engine

StackAt = Callable[..., Stack]


def test_every_step_of_an_up_is_recorded(stack_at: StackAt) -> None:
    """A step that the record lacks is time that the report's reader cannot account for."""
    stack = stack_at("prepare")
    stack.ask("readonly", 1)
    shown: list[str] = []
    read = recording.preview(stack.pulumi, shown.append)
    assert "to update" in read.text
    assert shown == read.text.splitlines()
    assert str(stack.pulumi.project) not in read.text
    outcome, move = recording.up(stack.pulumi, "readonly", read, lambda _: None)
    outcome.checked()
    recorded = {step.name for step in move.steps}
    assert {"web1-hosts-file", "db1-client-gate", "db1-finish"} <= recorded
    # Each is on the screen too, and none besides.
    assert {name for name in recorded if f" {name} " not in outcome.stdout} == set()
    for step in move.steps:
        assert step.ended is not None
        assert move.began <= step.began <= step.ended <= move.ended
        assert not step.failed
    gate = next(step for step in move.steps if step.name == "db1-client-gate")
    hosts = next(step for step in move.steps if step.name == "web1-hosts-file")
    assert hosts.ended is not None
    assert gate.began >= hosts.ended, "the order of the steps is not the order of the record"


def test_a_move_that_failed_is_recorded(stack_at: StackAt) -> None:
    """The report of a drill shows what failed, and when."""
    stack = stack_at("prepare")
    stack.fleet.faults[("db1", "client-gate")] = Fault.BEFORE
    stack.ask("readonly", 1)
    outcome, move = recording.up(
        stack.pulumi, "readonly", recording.preview(stack.pulumi, lambda _: None), lambda _: None
    )
    assert outcome.exit != 0
    assert [step.name for step in move.steps if step.failed] == ["db1-client-gate"]
