"""pgleap: a stack of its own components on the light hosts, changed by the plain command line and by scripts.window's `up`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.states import Phase
from rehearsal import operator_stack
from rehearsal.bench.hosts_files import light as light_hosts
from rehearsal.bench.hosts_files.figures import Took, span
from rehearsal.bench.hosts_files.light import Light
from rehearsal.engine.project import Pulumi
from rehearsal.lab import keys, processes
from rehearsal.lab.fleet import Server
from rehearsal.lab.place import REPOSITORY, LabError
from rehearsal.recording import steps
from scripts.window.clock import Heard
from scripts.window.engine import NO_CHECKPOINTS
from scripts.window.events import heard, stream

PROGRAM = Path(__file__).with_name("program.py")
WINDOW_UP = "rehearsal.bench.hosts_files.window_up"
# Of the project that a checkout is, but its program.
_LINKED = ("components", "agent", "scripts", "Pulumi.yaml", ".venv")
_SECONDS = 600.0


class Stack:
    """A stack for so many hosts, the agent on every one of them: delivered here, ahead of all that is measured."""

    def __init__(self, light: Light, hosts: int, engine: Path, plugins: dict[str, str]) -> None:
        self._light = light
        self._round = 1
        fleet = light_hosts.fleet(hosts)
        self._leads = {fleet.named(fleet.reads_from).address: Phase.READONLY, fleet.target.address: Phase.CUTOVER}
        project = light.place.root / f"stack-{hosts}" / "project"
        project.mkdir(parents=True)
        for part in _LINKED:
            (project / part).symlink_to(REPOSITORY / part)
        (project / "__main__.py").symlink_to(PROGRAM)
        self.pulumi = Pulumi(
            engine=engine,
            project=project,
            home=light.place.root / "pulumi" / "home",
            backend=project.parent / "state",
            stack=f"hosts{hosts}",
            passphrase="bench",  # noqa: S106 - the state is thrown away with the hosts
            environment={
                **plugins,
                **processes.mark(light.place),
                "SSH_AUTH_SOCK": str(keys.agent_socket(light.place)),
            },
        )
        self.pulumi.init()
        config = operator_stack.config(light.place, fleet=fleet, instances=False)
        del config["pgleap:aws"]  # the window would load AWS's SDK for it
        self.pulumi.configure({**config, "pgleap:phase": Phase.PREPARE.value, "pgleap:round": self._round})
        self.pulumi.config_set("pgleap:password", "of nobody", secret=True)
        # What is not measured need not write the whole state twice for each of 1,000 resources.
        in_a_hurry = replace(self.pulumi, environment={**self.pulumi.environment, **NO_CHECKPOINTS})
        in_a_hurry.up(timeout=_SECONDS).checked()

    def next_move(self, address: str) -> tuple[Phase, int]:
        """The phase that leads every name there, and a new round, which runs every step whatever it ran before."""
        self._round += 1
        return self._leads[address], self._round


class PulumiUp:
    """The plain command line."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def lead(self, servers: Sequence[Server], address: str) -> Took:  # noqa: ARG002 - the stack has its servers
        """See Tool."""
        phase, round_ = self._stack.next_move(address)
        self._stack.pulumi.configure({"pgleap:phase": phase.value, "pgleap:round": round_})
        words: list[Heard] = []
        events = stream(lambda event: words.extend(filter(None, [heard(time.monotonic(), event)])))
        outcome = self._stack.pulumi.up(events=events, timeout=_SECONDS)
        events.hear_out()
        outcome.checked()
        return Took(outcome.seconds, span(steps(words)))


class WindowUp:
    """The same as scripts.window does it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def lead(self, servers: Sequence[Server], address: str) -> Took:  # noqa: ARG002 - the stack has its servers
        """See Tool."""
        phase, round_ = self._stack.next_move(address)
        pulumi = self._stack.pulumi
        done = subprocess.run(
            [sys.executable, "-m", WINDOW_UP, str(pulumi.project), pulumi.stack, phase.value, str(round_)],
            cwd=REPOSITORY,
            env=pulumi.variables(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        if done.returncode != 0:
            raise LabError(f"The window's `up` was expected to succeed; it said: {done.stderr[-2000:]}")
        found = json.loads(done.stdout)
        return Took(found["seconds"], found["span"])
