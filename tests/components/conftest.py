"""The real engine over a simulated fleet: fixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rehearsal.engine.engine import ensure
from tests.components.stack import Snapshots, Stack, opened
from tests.unit.example_config import config


@pytest.fixture(scope="session")
def engine() -> Path:
    return ensure(print)


@pytest.fixture(scope="session")
def snapshots(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    return Snapshots(engine, tmp_path_factory.mktemp("snapshots"), config())


@pytest.fixture
def stack_at(engine: Path, snapshots: Snapshots, tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """A stack of a test's own, its fleet in the phase that the test begins from."""
    with ExitStack() as open_ones:

        def begin(phase: str, *, checkpoints: bool = False) -> Stack:
            snapshots.copy(phase, tmp_path / "stack")
            return open_ones.enter_context(opened(engine, tmp_path / "stack", config(), checkpoints=checkpoints))

        yield begin
