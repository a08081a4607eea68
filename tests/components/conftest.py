"""The real engine over a simulated fleet: fixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent import preflight
from rehearsal.engine.engine import ensure
from tests.components.stack import Ground, Snapshots, Stack, opened
from tests.unit.example_config import fleet_config


@pytest.fixture(scope="module", autouse=True)
def nothing_refuses() -> Iterator[None]:
    """The checks of preflight ask a real PostgreSQL, as tests/preflight and the lab have it. Not for the session: other folders' tests
    would run with it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(preflight, "refuse_open", lambda *_: None)
        yield


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with Ground.laid(ensure(print), tmp_path_factory.mktemp("sources")) as laid:
        yield laid


@pytest.fixture(scope="session")
def snapshots(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    return Snapshots(ground, tmp_path_factory.mktemp("snapshots"), fleet_config())


@pytest.fixture
def stack_at(ground: Ground, snapshots: Snapshots, tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """A stack of a test's own, its fleet in the phase that the test begins from."""
    with ExitStack() as open_ones:

        def begin(phase: str, *, checkpoints: bool = False) -> Stack:
            snapshots.copy(phase, tmp_path / "stack")
            return open_ones.enter_context(opened(ground, tmp_path / "stack", fleet_config(), checkpoints=checkpoints))

        yield begin
