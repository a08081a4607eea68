"""Drives the plain `pulumi` command line in a project, as an operator would."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import yaml

from scripts.window.events import Stream

LineHeard = Callable[[str], None]

_HIDDEN = ("PULUMI_ACCESS_TOKEN", "PULUMI_BACKEND_URL", "PULUMI_STACK", "PULUMI_CONFIG")
"""Variables of the caller that would lead the engine to another backend or stack."""


@dataclass(frozen=True)
class Outcome:
    """What one `pulumi` command said, and how it ended. `stdout` and `stderr` as they came; seconds by the clock."""

    arguments: tuple[str, ...]
    exit: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def said(self) -> str:
        """Both streams, one after the other."""
        return self.stdout + self.stderr

    def checked(self) -> "Outcome":
        """Itself if the command succeeded. Raises CommandFailedError."""
        if self.exit != 0:
            raise CommandFailedError(self)
        return self


class CommandFailedError(RuntimeError):
    """A `pulumi` command failed; the message holds all that it said."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"pulumi {' '.join(outcome.arguments)}: exit {outcome.exit}\n{outcome.said}")
        self.outcome = outcome


@dataclass(frozen=True)
class Pulumi:
    """One stack of one project. `engine` is the folder that holds `pulumi`, `project` the one with Pulumi.yaml.

    `home` becomes PULUMI_HOME; the state is kept in files below `backend`. `environment` holds what else the engine
    needs: how it reaches its plugins (see rehearsal.plugins.serve), SSH_AUTH_SOCK.
    """

    engine: Path
    project: Path
    home: Path
    backend: Path
    stack: str = "lab"
    passphrase: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def own_variables(self) -> dict[str, str]:
        """The variables that make the plain command line, run by hand in the project, act on this stack."""
        return {
            "PULUMI_HOME": str(self.home),
            # With metadata the engine keeps a second file beside each of its own and rewrites it in place: the program, which reads its
            # own outputs, finds it empty at that moment, and the update ends with "failed to load checkpoint: EOF" (seen once).
            "PULUMI_BACKEND_URL": f"file://{self.backend}?metadata=skip",
            "PULUMI_STACK": self.stack,
            "PULUMI_CONFIG_PASSPHRASE": self.passphrase,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **self.environment,
        }

    def variables(self) -> dict[str, str]:
        """The whole environment of a command: the caller's, without what would lead elsewhere, and our own."""
        inherited = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
        path = os.pathsep.join([str(self.engine), os.environ.get("PATH", os.defpath)])
        return {**inherited, **self.own_variables(), "PATH": path}

    def start(self, *arguments: str, events: Stream | None = None) -> subprocess.Popen[str]:
        """Starts a command and leaves it to the caller, who may kill it; both streams are text pipes. The engine's events go to `events`."""
        logged = ("--event-log", events.path) if events else ()
        child = subprocess.Popen(
            [self.engine / "pulumi", "--non-interactive", "--color", "never", *arguments, *logged],
            cwd=self.project,
            # Without this variable there is no --event-log.
            env=self.variables() | ({"PULUMI_DEBUG_COMMANDS": "true"} if events else {}),
            pass_fds=(events.end,) if events else (),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        if events:
            events.begun()
        return child

    def run(
        self,
        *arguments: str,
        on_line: LineHeard | None = None,
        timeout: float | None = None,
        events: Stream | None = None,
    ) -> Outcome:
        """Runs a command to its end; `on_line` hears each line of both streams as it comes.

        After `timeout` seconds it is killed, and subprocess.TimeoutExpired is raised.
        """
        began = time.monotonic()
        child = self.start(*arguments, events=events)
        assert child.stdout is not None
        assert child.stderr is not None
        streams: tuple[list[str], list[str]] = ([], [])
        readers = [
            threading.Thread(target=_read, args=(pipe, kept, on_line))
            for pipe, kept in zip((child.stdout, child.stderr), streams, strict=True)
        ]
        for reader in readers:
            reader.start()
        try:
            child.wait(timeout)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            for reader in readers:
                reader.join()
        stdout, stderr = ("".join(kept) for kept in streams)
        return Outcome(arguments, child.returncode, stdout, stderr, time.monotonic() - began)

    def init(self) -> None:
        """Makes the stack if it is not there."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.backend.mkdir(parents=True, exist_ok=True)
        self.run("stack", "select", "--create", self.stack).checked()

    def config_set(self, path: str, value: str, secret: bool = False) -> None:
        """Sets one value of the stack's config; `path` such as `pgleap:servers.db1.address`."""
        kind = "--secret" if secret else "--plaintext"
        self.run("config", "set", "--path", kind, path, "--", value).checked()

    def config_get(self, path: str) -> str:
        """One value of the stack's config, as text."""
        return self.run("config", "get", "--path", path).checked().stdout.strip()

    def configure(self, values: Mapping[str, Any]) -> None:
        """Replaces plain values of the stack's config, without the engine; `values` maps `namespace:key` to data."""
        file = self.project / f"Pulumi.{self.stack}.yaml"
        settings = (yaml.safe_load(file.read_text()) if file.exists() else None) or {}
        settings.setdefault("config", {}).update(values)
        file.write_text(yaml.safe_dump(settings, sort_keys=False))

    def preview(self, *options: str, diff: bool = True, on_line: LineHeard | None = None) -> Outcome:
        """What would change; `diff` shows each property."""
        return self.run("preview", *(("--diff",) if diff else ()), *options, on_line=on_line)

    def up(
        self,
        *options: str,
        on_line: LineHeard | None = None,
        timeout: float | None = None,
        events: Stream | None = None,
    ) -> Outcome:
        """Does it, without a preview before. `events` gets what the engine tells while it works (scripts.window.events)."""
        return self.run("up", "--yes", "--skip-preview", *options, on_line=on_line, timeout=timeout, events=events)

    def version(self) -> str:
        """The engine's own version, such as v3.250.0."""
        return self.run("version").checked().stdout.strip()

    def destroy(self, *options: str) -> Outcome:
        """Deletes every resource."""
        return self.run("destroy", "--yes", "--skip-preview", *options)

    def cancel(self) -> Outcome:
        """Takes away the lock that a killed engine left."""
        return self.run("cancel", "--yes", self.stack)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets opened."""
        found: dict[str, Any] = json.loads(self.run("stack", "output", "--json", "--show-secrets").checked().stdout)
        return found

    def resources(self) -> list[dict[str, Any]]:
        """The resources that the state records, as the engine exports them; secrets stay closed."""
        state = json.loads(self.run("stack", "export").checked().stdout)
        found: list[dict[str, Any]] = state["deployment"].get("resources") or []
        return found


def _read(pipe: IO[str], kept: list[str], on_line: LineHeard | None) -> None:
    with pipe:
        for line in pipe:
            kept.append(line)
            if on_line is not None:
                on_line(line.rstrip("\n"))
