"""What docs/recovery.md has typed once an engine was killed, under the real engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components.documented import repair
from tests.components.simulation import Fault
from tests.components.stack import Ground, Stack, opened
from tests.unit.example_config import fleet_config

pytestmark = pytest.mark.engine

UNREADABLE = "failed to load checkpoint: EOF"
PENDING = "pending operations"


def test_a_state_whose_metadata_was_half_written(stack_at: Callable[..., Stack]) -> None:
    """Every command stops at it while writes are refused, and `pulumi cancel`, which everybody tries, stops too."""
    stack = stack_at("prepare", checkpoints=True)
    stack.killed_at("db1", "client-gate", "readonly")
    # As a killed engine leaves it where it keeps metadata.
    (stack.pulumi.backend / ".pulumi" / "stacks" / "pgleap" / f"{stack.pulumi.stack}.json.attrs").touch()
    assert UNREADABLE in stack.pulumi.cancel().said
    assert UNREADABLE in stack.pulumi.up().said
    repair(stack.pulumi, UNREADABLE)
    stack.pulumi.up().checked()
    assert stack.unchanged().exit == 0


def test_operations_that_were_pending(ground: Ground, tmp_path: Path) -> None:
    """A warning that never goes is one that nobody reads any more; and what goes by itself must not be called a repair."""
    with opened(ground, tmp_path / "stack", fleet_config(), checkpoints=True) as stack:
        stack.killed_at("web1", "hosts-file", "prepare")
        stack.pulumi.cancel().checked()
        assert PENDING in stack.up("prepare").checked().said
        assert PENDING in stack.up("prepare").checked().said, "it goes by itself: the page says otherwise"
        stack.fleet.events.clear()
        repair(stack.pulumi, "Attempting to deploy or update resources with")
        assert stack.fleet.events == [], "a server was told something"
        assert PENDING not in stack.up("prepare").checked().said
        stack.killed_at("web1", "hosts-file", "readonly")
        stack.pulumi.cancel().checked()
        assert PENDING in stack.up("readonly").checked().said
        assert PENDING not in stack.up("readonly").checked().said
        assert stack.unchanged().exit == 0


def test_outputs_that_a_failed_up_shows_as_deleted_are_kept(stack_at: Callable[..., Stack]) -> None:
    """Else what the page says of them would be wrong, and the phase that was finished last be forgotten."""
    stack = stack_at("prepare")
    before = stack.pulumi.outputs()
    stack.fleet.faults[("web1", "hosts-file")] = Fault.BEFORE
    failed = stack.up("readonly")
    assert failed.exit != 0
    assert "- authority" in failed.said
    assert stack.pulumi.outputs() == before
