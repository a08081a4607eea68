"""A stack of this repository's own project with a simulated fleet of any size, run as an operator runs it."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.states import Phase
from components.settings import Role
from rehearsal.bench.fleets.config import config
from rehearsal.bench.fleets.found import Command
from rehearsal.bench.fleets.processes import Watch
from rehearsal.bench.fleets.servers import Servers, step
from rehearsal.engine.project import CommandFailedError, Outcome, Pulumi
from rehearsal.plugins.serve import serving
from scripts.window.engine import NO_CHECKPOINTS

REPOSITORY = Path(__file__).resolve().parents[3]
# The program, and the environment that its steps on the operator's machine run in.
PROGRAM = ("__main__.py", "Pulumi.yaml", "components", "agent", "scripts", ".venv")
STACK = "bench"
LOAD_BALANCER = "scripts.load_balancer"
STATE_FILE = f".pulumi/stacks/pgleap/{STACK}.json"
"""The whole state, as the engine writes it, below the backend's folder."""


class WrongStepsError(Exception):
    """Other steps ran than those whose desired state changed; the message names some of them."""


@dataclass(frozen=True)
class Stack:
    """`folder` holds all that is the stack's; its fleet stands in `prepare`."""

    pulumi: Pulumi
    servers: Servers
    folder: Path

    def ask(self, phase: Phase) -> None:
        """Write the phase into the stack's config."""
        self.pulumi.configure({"pgleap:phase": phase.value, "pgleap:round": 1})

    def keep(self) -> None:
        """What the state is now is what `back` sets it to."""
        shutil.copytree(self.pulumi.backend, self._kept)

    def back(self) -> None:
        """The state as it was kept, and every server in the load balancer."""
        shutil.rmtree(self.pulumi.backend)
        shutil.copytree(self._kept, self.pulumi.backend)
        for server in self._drained.iterdir():
            server.rmdir()

    @property
    def _kept(self) -> Path:
        return self.folder / "kept"

    @property
    def _drained(self) -> Path:
        return self.folder / "drained"

    def state(self) -> list[dict[str, Any]]:
        """The resources, as the state in the folder has them; secrets closed."""
        return _resources(self.pulumi.backend / STATE_FILE)

    def preview(self) -> Command:
        """Of what is asked."""
        return self._measured(self.pulumi, "preview", "--diff")

    def up(self, environment: Mapping[str, str] | None = None) -> Command:
        """Do what is asked. Raises WrongStepsError unless each step that changed ran once, and no other."""
        pulumi = replace(self.pulumi, environment={**self.pulumi.environment, **(environment or {})})
        return self._measured(pulumi, "up", "--yes", "--skip-preview")

    def config_bytes(self) -> int:
        """The config as a program gets it: one JSON object of texts."""
        told = json.loads(self.pulumi.run("config", "--json").checked().stdout)
        return len(json.dumps({key: entry.get("value", "") for key, entry in told.items()}).encode())

    def check(self, after: list[dict[str, Any]]) -> None:
        """Whether the steps that ran since the last command began are those that differ from the kept state. Raises WrongStepsError."""
        before = {found["urn"]: _told(found) for found in _resources(self._kept / STATE_FILE)}
        changed = [found for found in after if _told(found) not in (None, before.get(found["urn"]))]
        asked = [_asked(found) for found in changed]
        wanted = Counter(step(*one) for one in asked if one[0] != LOAD_BALANCER)
        out = {name for module, desired in asked if module == LOAD_BALANCER for name in desired["servers"]}
        found_out = {server.name for server in self._drained.iterdir()}
        wrong = [*(self.servers.ran - wanted), *(wanted - self.servers.ran), *(out ^ found_out)]
        if wrong:
            raise WrongStepsError(
                f"expected each of {len(wanted) + len(out)} steps once; {len(wrong)} ran too often or not at all: {wrong[:5]}"
            )

    def _measured(self, pulumi: Pulumi, *arguments: str) -> Command:
        self.servers.ran.clear()
        began = time.monotonic()
        child = pulumi.start(*arguments)
        watch = Watch(child)
        stdout, stderr = child.communicate()
        seconds = time.monotonic() - began
        if child.returncode != 0:
            raise CommandFailedError(Outcome(arguments, child.returncode, stdout, stderr, seconds))
        used = watch.end()
        steps = self.servers.ran.total() + sum(1 for _ in self._drained.iterdir())
        return Command(
            seconds=round(seconds, 2), steps=steps, engine=used.engine, program=used.program, stand_ins=used.stand_ins
        )


@contextmanager
def opened(engine: Path, folder: Path, servers: int, answer_seconds: float) -> Iterator[Stack]:
    """A stack of so many servers that has just been taken to `prepare`, in a folder that is empty."""
    project, drained = folder / "project", folder / "drained"
    project.mkdir()
    for part in PROGRAM:
        (project / part).symlink_to(REPOSITORY / part)
    drained.mkdir()
    values = config(servers, drained)
    for name, server in values["servers"].items():
        if server["role"] == Role.DRAINED:
            (drained / name).mkdir()
    simulated = Servers(answer_seconds=0)
    with serving(simulated) as plugins:
        pulumi = Pulumi(engine, project, folder / "home", folder / "state", STACK, environment=plugins)
        pulumi.init()
        pulumi.configure({f"pgleap:{key}": value for key, value in values.items()})
        pulumi.config_set("pgleap:password", "correct horse", secret=True)
        stack = Stack(pulumi, simulated, folder)
        stack.ask(Phase.PREPARE)
        stack.up(NO_CHECKPOINTS)
        stack.keep()
        simulated.answer_seconds = answer_seconds
        yield stack


def _told(found: Mapping[str, Any]) -> str | None:
    """What changes with a step's desired state, None of what is no step. A secret has another ciphertext each time: when it was updated."""
    stdin = found["inputs"].get("stdin")
    return str(found["modified"]) if isinstance(stdin, Mapping) else stdin


def _asked(found: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The verb and the desired state of a step; of a secret one only whose it is, by its name."""
    inputs = found["inputs"]
    verb, stdin = str(inputs["update"]).split()[-1], inputs["stdin"]
    if isinstance(stdin, Mapping):
        return verb, {"server": found["urn"].rsplit("::", 1)[1].removesuffix(f"-{verb}")}
    return verb, json.loads(stdin)


def _resources(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text())["checkpoint"]["latest"]["resources"]
    return [{"inputs": {}, **one} for one in found]
