"""A stack of this repository's own project with a simulated fleet, and snapshots of it to begin tests from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.states import Phase
from components.settings import Settings
from rehearsal.engine.project import Outcome, Pulumi
from rehearsal.plugins.serve import serving
from scripts.window.engine import NO_CHECKPOINTS
from tests.components.simulation import Hold, SimulatedFleet
from tests.components.warm_python import warm_python

PROJECT = Path(__file__).resolve().parents[2]
# Seconds for an `up` to come to a step.
PATIENCE = 120
FORWARD = tuple(phase.value for phase in Phase)


@dataclass(frozen=True)
class Ground:
    """What all stacks stand on: the engine's folder, and the project's sources as they were when the tests began."""

    engine: Path
    sources: Path

    @classmethod
    @contextmanager
    def laid(cls, engine: Path, sources: Path) -> Iterator[Ground]:
        """With a copy of the sources: an edit while tests run would make them find another agent than they installed."""
        for part in ("components", "agent", "scripts"):
            shutil.copytree(PROJECT / part, sources / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("__main__.py", "Pulumi.yaml"):
            shutil.copyfile(PROJECT / part, sources / part)
        with warm_python(sources):
            yield cls(engine, sources)


class Stack:
    """A stack of this repository's own project, its fleet simulated."""

    def __init__(self, pulumi: Pulumi, fleet: SimulatedFleet) -> None:
        self.pulumi = pulumi
        self.fleet = fleet

    def ask(self, phase: str, round_: int, **more: Any) -> None:
        self.pulumi.configure(
            {"pgleap:phase": phase, "pgleap:round": round_, **{f"pgleap:{key}": value for key, value in more.items()}}
        )

    def up(self, phase: str, round_: int = 1, *options: str) -> Outcome:
        """Ask for a phase and do it; the events of this `up` alone are kept."""
        self.ask(phase, round_)
        self.fleet.events.clear()
        return self.pulumi.up(*options)

    def killed_at(self, server: str, verb: str, phase: str) -> None:
        """An `up` to `phase`, killed while this step is under way."""
        hold = self.fleet.holds[(server, verb)] = Hold()
        self.ask(phase, 1)
        engine = self.pulumi.start("up", "--yes", "--skip-preview")
        try:
            assert hold.reached.wait(PATIENCE)
        finally:
            engine.kill()
            engine.communicate()
            hold.go_on.set()

    def unchanged(self) -> Outcome:
        return self.pulumi.preview("--expect-no-changes", diff=False)

    def urn(self, step: str) -> str:
        """The URN of a step by its name, as `--target` wants it."""
        steps = (str(found["urn"]) for found in self.pulumi.resources() if found["custom"])
        return next(urn for urn in steps if urn.endswith(f"::{step}"))


@contextmanager
def opened(ground: Ground, folder: Path, raw: Mapping[str, Any], *, checkpoints: bool = False) -> Iterator[Stack]:
    """The stack in `folder`: made new, or as the folder's copy has it. At the end no invariant may have been broken."""
    project = folder / "project"
    is_new = not project.exists()
    if is_new:
        project.mkdir(parents=True)
        for part in ground.sources.iterdir():
            (project / part.name).symlink_to(part)
    fleet = SimulatedFleet(Settings.from_config(raw), folder / "servers")
    with serving(fleet) as plugins:
        # The engine writes its whole state twice for every step, which is half of what these tests would cost. What it ends with is
        # the same; a test in which it is killed, or that is about its state, asks for checkpoints.
        variables = plugins if checkpoints else {**plugins, **NO_CHECKPOINTS}
        pulumi = Pulumi(ground.engine, project, folder / "home", folder / "state", "sim", environment=variables)
        if is_new:
            pulumi.init()
            values = {
                f"pgleap:{key}": value
                for key, value in raw.items()
                if key not in ("phase", "round", "password", "replicationPassword")
            }
            pulumi.configure(values)
            pulumi.config_set("pgleap:password", "correct horse", secret=True)
            pulumi.config_set("pgleap:replicationPassword", "battery staple", secret=True)
        yield Stack(pulumi, fleet)
    fleet.save()
    assert fleet.violations == []


class Snapshots:
    """The fleet after each phase of the way forward, taken there once: tests begin from copies."""

    def __init__(self, ground: Ground, folder: Path, raw: Mapping[str, Any]) -> None:
        self._ground = ground
        self._folder = folder
        self._raw = raw

    def copy(self, phase: str, folder: Path) -> None:
        """A copy of the stack and its servers after `phase`, which must be one of FORWARD, in `folder`."""
        shutil.copytree(self._at(phase), folder, symlinks=True)

    def steps(self, phase: str) -> list[tuple[str, str]]:
        """The steps of the `up` that led to `phase`, in the order in which they ran."""
        return [(server, verb) for server, verb in json.loads((self._at(phase) / "steps.json").read_text())]

    def _at(self, phase: str) -> Path:
        taken = self._folder / phase
        if not taken.exists():
            unfinished = self._folder / f"{phase}-unfinished"
            before = list(Phase).index(Phase(phase)) - 1
            if before >= 0:
                self.copy(FORWARD[before], unfinished)
            with opened(self._ground, unfinished, self._raw) as stack:
                stack.up(phase).checked()
                (unfinished / "steps.json").write_text(json.dumps(stack.fleet.steps()))
            unfinished.rename(taken)
        return taken
