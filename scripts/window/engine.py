"""The engine of one stack: its config and outputs, an `up` that can be ended, the lock that an ended one leaves behind.

The commands are those of the Automation API. Its `Stack.up` itself is not used: after each `up` it runs three commands more, a
second of the outage, and it cannot be ended. Each command runs in a session of its own, so that a terminal's ^C reaches this
program alone, which decides what it means.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agent.states import Phase
from components.config_errors import NAMESPACE
from scripts.raw_config import raw_config
from scripts.window.course import Finished
from scripts.window.events import Stream
from scripts.window.program import Program

# Seconds that an engine gets to save its state and give its lock back, before it is killed.
GENTLE_SECONDS = 1.0
POLL_SECONDS = 0.02
PROGRAM = "pulumi"
AWS_SDK = "pulumi_aws"
# What a program with instances imports besides: AWS's SDK, half a second.
INSTANCES = ("components.server",)
# As the Automation API sets them; without the second there is no --event-log.
VARIABLES = {"PULUMI_AUTOMATION_API": "true", "PULUMI_DEBUG_COMMANDS": "true", "PULUMI_SKIP_UPDATE_CHECK": "true"}
# The state is written once, at the end, and not before and after each step. An engine that is killed leaves it as it was before, and the
# next `up` has every step look again, which finds nothing to do (design.md, "Keys": 83 s with, 13 s without, for 300 servers).
NO_CHECKPOINTS = {"PULUMI_SKIP_CHECKPOINTS": "true"}
# How many steps are under way at once, whatever the operator's machine: they wait for servers, each for its own.
PARALLEL = 64


class EngineError(Exception):
    """A command that everything rests on failed; the message holds what it said."""


@dataclass(frozen=True)
class Reading:
    """A stack that is being read: its config (secrets closed), and the phase that it finished last."""

    engine: Engine
    suits: Future[None] | None
    raw: Future[dict[str, Any]]
    finished: Future[Finished | None]


@dataclass(frozen=True)
class Held:
    """An `up` that was begun ahead: its engine waits for its program's answer."""

    up: subprocess.Popen[str]
    program: Program


class Engine:
    """`pulumi` in a project's folder, for one stack; without a name the stack that is selected there."""

    def __init__(self, project: Path, stack: str | None) -> None:
        self.project = project
        # Whether the state is written around each step. Of an instance that is made nothing else would be known if its engine is killed.
        self.checkpoints = True
        self._ended: set[int] = set()
        self._loaded: Program | None = None
        self._serving: Program | None = None
        self.stack = stack or os.environ.get("PULUMI_STACK") or self._said("stack", "--show-name").strip()

    def check(self) -> None:
        """Whether the `pulumi` on PATH suits the SDK. Raises EngineError."""
        # Here, for it takes a second to import: a way back, which is in a hurry, does not ask.
        from pulumi.automation import InvalidVersionError, PulumiCommand  # noqa: PLC0415

        try:
            PulumiCommand()
        except (InvalidVersionError, FileNotFoundError, subprocess.CalledProcessError) as error:
            raise EngineError(f"Expected: a `pulumi` on PATH that suits this program's SDK. Found: {error}") from None

    def begin_reading(self, check: bool, load: bool) -> Reading:
        """Read the stack, all commands side by side: writes may be refused. `check`: whether the engine itself is looked at;
        `load`: whether an `up` follows."""
        if load:
            self.load_program()
        pool = ThreadPoolExecutor()
        suits = pool.submit(self.check) if check else None
        reading = Reading(self, suits, pool.submit(self.config), pool.submit(self.finished))
        pool.shutdown(wait=False)
        return reading

    def config(self) -> dict[str, Any]:
        """The stack's config under `pgleap:`, without that prefix; secrets stay closed. Raises EngineError."""
        return raw_config(json.loads(self._said("config", "--json", "--stack", self.stack)))

    def finished(self) -> Finished | None:
        """The phase that the stack finished last. Raises EngineError."""
        # `stack output` takes twice as long, 0.3 s more of refused writes on the way back: it opens secrets first.
        exported: dict[str, Any] = json.loads(self._said("stack", "export", "--stack", self.stack))["deployment"]
        stacks = [one for one in exported.get("resources", []) if one["type"] == "pulumi:pulumi:Stack"]
        outputs = stacks[0].get("outputs", {}) if stacks else {}
        found = outputs.get("finished")
        instances = frozenset(outputs.get("instances") or ())
        return Finished(Phase(found["phase"]), int(found["round"]), instances) if found else None

    def ask(self, phase: str, round_: str) -> None:
        """Write phase and round into the stack's config file. Raises EngineError."""
        wanted = ("--plaintext", f"{NAMESPACE}:phase={phase}", "--plaintext", f"{NAMESPACE}:round={round_}")
        self._said("config", "set-all", *wanted, "--stack", self.stack)

    def preview(self, config_file: Path, phase: Phase, round_: int) -> subprocess.CompletedProcess[str]:
        """What an `up` to `phase` would do. Only `config_file` is changed: a copy, for the engine writes what it is asked."""
        return self._run(
            "preview", "--diff", "--config-file", str(config_file), "--stack", self.stack,
            "--config", f"{NAMESPACE}:phase={phase}", "--config", f"{NAMESPACE}:round={round_}",
        )  # fmt: skip

    def begin_up(self, phase: Phase, round_: int, events: Stream) -> subprocess.Popen[str]:
        """Begin an `up` to `phase`, which also writes phase and round into the config file. Its events go to `events`."""
        program, self._loaded = self.load_program(), None
        address = program.address()
        client = ("--exec-kind", "auto.inline", "--client", address) if address else ("--exec-kind", "auto.local")
        up = self._up(phase, round_, events, *client)
        self.go_on(program)
        return up

    def begin_held(self, phase: Phase, round_: int, events: Stream, config_file: Path) -> Held | None:
        """Begin an `up` that waits for `go_on` before it takes the lock and reads the state; None if its program does not load. Phase
        and round are written into `config_file`, a copy."""
        program, self._loaded = self.load_program(), None
        address = program.address()
        if address is None:
            program.close()
            return None
        client = ("--exec-kind", "auto.inline", "--client", address)
        return Held(self._up(phase, round_, events, *client, "--config-file", str(config_file)), program)

    def go_on(self, program: Program) -> None:
        """Have the `up` of this program go on."""
        self._serving = program
        program.answer()

    def _up(self, phase: Phase, round_: int, events: Stream, *more: str) -> subprocess.Popen[str]:
        up = self._begin(
            "up", "--yes", "--skip-preview", "--suppress-outputs", "--suppress-progress", "--stack", self.stack,
            "--config", f"{NAMESPACE}:phase={phase}", "--config", f"{NAMESPACE}:round={round_}", "--parallel", str(PARALLEL),
            "--event-log", events.path, *more,
            inherits=(events.end,), variables={} if self.checkpoints else NO_CHECKPOINTS,
        )  # fmt: skip
        events.begun()
        return up

    def load_program(self) -> Program:
        """Have the program of the next `up` loaded while there is time; the one that is being loaded."""
        if self._loaded is None:
            self._loaded = Program(self.project, INSTANCES if self._names_aws() else ())
        return self._loaded

    def end_program(self) -> None:
        """End the program of an `up` that is over. By itself it would take a second of the processor for that, and the next `up` begins."""
        if self._serving is not None:
            self._serving.close()
            self._serving = None

    def _names_aws(self) -> bool:
        """Whether the stack may have instances: its config is not read yet, and half a second too much only loads a module in vain. One that
        has none does not need AWS's SDK."""
        file = self.config_file()
        return find_spec(AWS_SDK) is not None and file.is_file() and f"{NAMESPACE}:aws:" in file.read_text()

    def close(self) -> None:
        """End every program that is left: no `up` is under way any more."""
        self.end_program()
        if self._loaded is not None:
            self._loaded.close()

    def end(self, up: subprocess.Popen[str]) -> bool:
        """End an `up` and every process that it started: asked first, killed after GENTLE_SECONDS. Whether it was killed."""
        if up.poll() is not None:
            return False
        self._ended.add(up.pid)
        with suppress(ProcessLookupError):
            os.kill(up.pid, signal.SIGINT)
        deadline = time.monotonic() + GENTLE_SECONDS
        while up.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if up.poll() is not None:
            return False
        for pid in (up.pid, *_started_by(up.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True

    def unlock(self) -> None:
        """Take away the lock that an `up` which was ended has left. Fails in silence: there may be none, and if one is
        left, the next `up` says so."""
        self._run("cancel", "--yes", "--stack", self.stack)

    def is_locked_by_us(self, said: str) -> bool:
        """Whether an `up` was refused over the lock of one that this program has ended. Pure but for this machine's name."""
        if "currently locked by" not in said:
            return False
        owners = re.findall(r"created by \S+@(\S+) \(pid (\d+)\)", said)
        return bool(owners) and all(host == socket.gethostname() and int(pid) in self._ended for host, pid in owners)

    def config_file(self) -> Path:
        """The stack's config file; only its last name counts, as for the engine."""
        return self.project / f"Pulumi.{self.stack.rsplit('/', 1)[-1]}.yaml"

    def _said(self, *arguments: str) -> str:
        result = self._run(*arguments)
        if result.returncode != 0:
            raise EngineError(
                f"pulumi {arguments[0]}: exit status {result.returncode}\n{result.stderr}{result.stdout}".strip()
            )
        return result.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        child = self._begin(*arguments)
        stdout, stderr = child.communicate()
        return subprocess.CompletedProcess(child.args, child.returncode, stdout, stderr)

    def _begin(
        self, *arguments: str, inherits: tuple[int, ...] = (), variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                [PROGRAM, "--non-interactive", "--color", "never", *arguments],
                cwd=self.project,
                env={**os.environ, **VARIABLES, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
                pass_fds=inherits,
            )
        except FileNotFoundError:
            raise EngineError(f"Expected: `{PROGRAM}` on PATH. Found: none.\nTo do: install the Pulumi CLI") from None


def end_left_over(up: subprocess.Popen[str]) -> None:
    """Wait for an `up`; if it failed or was killed, by whomever, end what it left: plugins and language hosts of an engine that is gone
    go on, and hold its pipes. They are known by the session that the `up` was begun in, and only they are in it."""
    if up.wait() == 0:
        return
    for pid in _all():
        with suppress(OSError):
            if os.getsid(pid) == up.pid:
                os.kill(pid, signal.SIGKILL)


def _all() -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in listed.split()]


def _started_by(ancestor: int) -> list[int]:
    """The processes that `ancestor` started, and those that these started: plugins have process groups of their own."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    children: dict[int, list[int]] = {}
    for line in listed.splitlines():
        pid, parent = (int(word) for word in line.split())
        children.setdefault(parent, []).append(pid)
    found, left = [], [ancestor]
    while left:
        mine = children.get(left.pop(), [])
        found += mine
        left += mine
    return found
