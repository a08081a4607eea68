"""The selected stack, as the `pulumi` on PATH tells it: its settings, and what it finished last. Reads only."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from components.config_errors import SettingsError
from components.settings import Settings
from scripts.raw_config import raw_config

PROJECT = Path(__file__).resolve().parent.parent
SECONDS = 60


class NoStackError(Exception):
    """There is no stack to read, or its config is not right; the message says what to do."""


@dataclass(frozen=True)
class Stack:
    """`finished` holds the phase and the round that the last whole `up` reached; it is empty before there was one."""

    settings: Settings
    finished: Mapping[str, Any]


def read(project: Path = PROJECT, name: str | None = None) -> Stack:
    """The stack `name`, or the selected one. Raises NoStackError."""
    config = _pulumi(project, name, "config")
    try:
        settings = Settings.from_config(raw_config(config))
    except SettingsError as wrong:
        raise NoStackError(str(wrong)) from None
    outputs = _pulumi(project, name, "stack", "output")
    return Stack(settings, outputs.get("finished") or {})


def read_or_exit(name: str | None) -> Stack:
    """For a script's first line: the stack, or the reason on stderr and exit status 2, as nothing was done. Raises typer.Exit."""
    try:
        return read(name=name)
    except NoStackError as missing:
        print(f"pgleap: {missing}", file=sys.stderr)
        raise typer.Exit(2) from None


def window_or_exit(name: str | None) -> Stack:
    """The same, where a rehearsal's stack would be taken for its window's: its config names the same servers. Raises typer.Exit."""
    found = read_or_exit(name)
    if found.settings.rehearsal:
        print(
            "pgleap: Expected: the stack of a window. Found: a rehearsal's (pgleap:rehearsal), whose servers are the window's too.\n"
            "To do: give the window's stack with --stack. Of the rehearsal `pulumi stack output` tells; `pulumi destroy` takes it away.",
            file=sys.stderr,
        )
        raise typer.Exit(2)
    return found


def _pulumi(project: Path, name: str | None, *command: str) -> dict[str, Any]:
    argv = ["pulumi", "--non-interactive", "--color=never", *command, "--json", *(["--stack", name] if name else [])]
    try:
        done = subprocess.run(
            argv, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError:
        raise NoStackError("Expected `pulumi` on PATH, found none.\nTo do: install the Pulumi CLI.") from None
    except subprocess.TimeoutExpired:
        raise NoStackError(f"`{' '.join(argv)}` did not answer within {SECONDS} s: see to its backend.") from None
    if done.returncode != 0:
        raise NoStackError(
            f"Expected a stack of this project that can be read, found: {done.stderr.strip() or done.stdout.strip()}\n"
            "To do: pulumi stack select (or `--stack`); log in to its backend; set its passphrase."
        )
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found
