"""--target, --exclude and --continue-on-error break the order of steps. The README says never; here they do no harm."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from rehearsal.plugins import language
from tests.components.documented import repair
from tests.components.simulation import Fault
from tests.components.stack import Stack

pytestmark = pytest.mark.engine

StackAt = Callable[..., Stack]
OUT_OF_ORDER = "snapshot integrity error"


def recorded(stack: Stack) -> list[tuple[object, ...]]:
    """The state's resources in their order; secrets are encrypted anew each time."""
    return [(one["urn"], one.get("dependencies"), one.get("modified")) for one in stack.pulumi.resources()]


def repaired(stack: Stack) -> None:
    """The commands of docs/recovery.md under this message, as typed."""
    repair(stack.pulumi, OUT_OF_ORDER)


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """How the engine was started cannot be seen, as where another program starts it (the Automation API)."""
    monkeypatch.setattr(language, "listening", lambda _: None)


def test_steps_left_out_are_refused_before_anything_is_declared(stack_at: StackAt) -> None:
    """Else the engine may write a state that it cannot read again (components/engine_options.py), while writes are refused."""
    stack = stack_at("upgrade", checkpoints=True)
    before = recorded(stack)
    gate = stack.urn("db-a-client-gate")
    stack.fleet.events.clear()
    stack.ask("cutover", 1)
    for typed in (("--exclude", gate), ("-t", gate), (f"--target={gate}", "--target-dependents")):
        refused = stack.pulumi.up(*typed)
        assert refused.exit != 0
        assert f"Found: {typed[0].partition('=')[0]}" in refused.said
        assert "Nothing was begun." in refused.said
        assert "Traceback" not in refused.said
    assert "Found: -x, which" in stack.pulumi.preview("-x", gate).said
    assert stack.fleet.steps() == []
    assert recorded(stack) == before
    # What it advises.
    stack.up("cutover").checked()


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
@pytest.mark.usefixtures("unseen")
def test_a_step_alone_or_left_out_does_no_harm(
    stack_at: StackAt, option: str, step: str, before: str, phase: str, round_: int
) -> None:
    """The engine takes a step that it leaves out for done, and would run what waits for it."""
    stack = stack_at(before)
    partly = stack.up(phase, round_, option, stack.urn(step))
    assert partly.exit != 0
    # Where it declares twice what it left out (components/engine_options.py) the engine stops by itself. Either way the phase is not finished.
    assert "was left out" in partly.said or "Duplicate resource URN" in partly.said
    assert ("db1", "finish") not in stack.fleet.steps()
    plain = stack.up(phase, round_)
    if OUT_OF_ORDER in plain.said:
        repaired(stack)
        plain = stack.up(phase, round_)
    assert plain.exit == 0, plain.said
    assert stack.unchanged().exit == 0


def test_a_state_out_of_order_is_repaired_as_recovery_says(stack_at: StackAt) -> None:
    """The engine refuses every command over it, while writes are refused: what the page advises has to be all that it takes."""
    stack = stack_at("upgrade")
    file = stack.pulumi.backend / ".pulumi" / "stacks" / "pgleap" / f"{stack.pulumi.stack}.json"
    state = json.loads(file.read_text())
    resources = state["checkpoint"]["latest"]["resources"]
    late = next(one for one in resources if one["urn"].endswith("::db2-access"))
    resources.remove(late)
    resources.append(late)
    file.write_text(json.dumps(state))
    stack.ask("cutover", 1)
    assert OUT_OF_ORDER in stack.pulumi.up().said
    assert OUT_OF_ORDER in stack.pulumi.preview().said
    repaired(stack)
    stack.up("cutover").checked()
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
