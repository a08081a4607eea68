"""The real engine over a simulated fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from components.settings import Settings
from rehearsal.engine.engine import ensure
from rehearsal.engine.project import Outcome, Pulumi
from rehearsal.plugins.serve import serving
from tests.components.simulation import SimulatedFleet
from tests.unit.example_config import config

PROJECT = Path(__file__).resolve().parents[2]


class Stack:
    """A stack of this repository's own project, its fleet simulated."""

    def __init__(self, pulumi: Pulumi, fleet: SimulatedFleet) -> None:
        self.pulumi = pulumi
        self.fleet = fleet

    def ask(self, phase: str, round_: int, **more: Any) -> None:
        self.pulumi.configure(
            {"pgleap:phase": phase, "pgleap:round": round_, **{f"pgleap:{key}": value for key, value in more.items()}}
        )

    def up(self, phase: str, round_: int = 1) -> Outcome:
        """Ask for a phase and do it; the events of this `up` alone are kept."""
        self.ask(phase, round_)
        self.fleet.events.clear()
        return self.pulumi.up()

    def unchanged(self) -> Outcome:
        return self.pulumi.preview("--expect-no-changes", diff=False)


@pytest.fixture(scope="session")
def engine() -> Path:
    return ensure(print)


@pytest.fixture
def stack(engine: Path, tmp_path: Path) -> Iterator[Stack]:
    yield from opened(engine, tmp_path, config())


@pytest.fixture
def stack_of(engine: Path, tmp_path: Path) -> Iterator[Callable[[Mapping[str, Any]], Stack]]:
    """A stack with a config of one's own."""
    running: list[Iterator[Stack]] = []

    def begin(raw: Mapping[str, Any]) -> Stack:
        running.append(opened(engine, tmp_path, raw))
        return next(running[-1])

    yield begin
    for each in running:
        next(each, None)


def opened(engine: Path, folder: Path, raw: Mapping[str, Any]) -> Iterator[Stack]:
    project = folder / "project"
    project.mkdir()
    for part in ("__main__.py", "Pulumi.yaml", "components", "agent", ".venv"):
        (project / part).symlink_to(PROJECT / part)
    fleet = SimulatedFleet(Settings.from_config(raw), folder)
    with serving(fleet) as environment:
        pulumi = Pulumi(engine, project, folder / "home", folder / "state", "sim", environment=environment)
        pulumi.init()
        values = {f"pgleap:{key}": value for key, value in raw.items() if key not in ("phase", "round", "password")}
        pulumi.configure(values)
        pulumi.config_set("pgleap:password", "correct horse", secret=True)
        yield Stack(pulumi, fleet)
        assert fleet.broken == []
