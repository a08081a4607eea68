"""--target, --exclude and --continue-on-error break the order of steps. The README says never; here they do no harm."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.components.simulation import Fault
from tests.components.stack import Stack

pytestmark = pytest.mark.engine

StackAt = Callable[..., Stack]


@pytest.mark.parametrize(
    ("option", "step", "before", "phase", "round_"),
    [
        # Sealed while names still lead there; names led to what is sealed, or not open yet; opened beside another.
        ("--target", "db1-client-gate", "prepare", "readonly", 1),
        ("--target", "web1-hosts-file", "readonly", "prepare", 2),
        ("--target", "web1-hosts-file", "upgrade", "cutover", 1),
        ("--target", "db-a-client-gate", "upgrade", "cutover", 1),
        ("--exclude", "web1-hosts-file", "prepare", "readonly", 1),
        ("--exclude", "db1-client-gate", "readonly", "prepare", 2),
        ("--exclude", "db-a-client-gate", "upgrade", "cutover", 1),
    ],
)
def test_a_step_alone_or_left_out_does_no_harm(
    stack_at: StackAt, option: str, step: str, before: str, phase: str, round_: int
) -> None:
    """The engine takes a step that it leaves out for done, and would run what waits for it."""
    stack = stack_at(before)
    partly = stack.up(phase, round_, option, stack.urn(step))
    assert partly.exit != 0
    # Where agents are delivered beside the step that is left out, the engine (3.250.0) stops by itself: with --exclude it takes
    # their replacements for duplicates. Either way the phase is not finished.
    assert "was left out" in partly.said or "Duplicate resource URN" in partly.said
    assert ("db1", "finish") not in stack.fleet.steps()
    plain = stack.up(phase, round_)
    assert plain.exit == 0, plain.said
    assert stack.unchanged().exit == 0


@pytest.mark.parametrize(
    ("step", "before", "phase"),
    [
        (("web1", "hosts-file"), "prepare", "readonly"),
        (("db-a", "upgrade-target"), "readonly", "upgrade"),
        (("db1", "client-gate"), "upgrade", "cutover"),
    ],
)
def test_going_on_after_an_error_does_no_harm(
    stack_at: StackAt, step: tuple[str, str], before: str, phase: str
) -> None:
    """What waits for the step that failed must not run, whatever else goes on."""
    stack = stack_at(before)
    stack.fleet.faults[step] = Fault.BEFORE
    partly = stack.up(phase, 1, "--continue-on-error")
    assert partly.exit != 0
    assert stack.fleet.faults == {}, "the fault never came about"
    assert "Traceback" not in partly.said
    assert ("db1", "finish") not in stack.fleet.steps()
    plain = stack.up(phase)
    assert plain.exit == 0, plain.said
    assert stack.unchanged().exit == 0


def test_going_on_after_an_error_moves_the_other_servers(stack_at: StackAt) -> None:
    """At cutover one server that refuses at once must not keep the names of the others where writes are refused."""
    stack = stack_at("upgrade")
    stack.fleet.faults[("web1", "hosts-file")] = Fault.BEFORE
    assert stack.up("cutover", 1, "--continue-on-error").exit != 0
    assert set(stack.fleet.named("web2").names.values()) == {stack.fleet.settings.target.address}
    stack.up("cutover").checked()
