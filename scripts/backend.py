"""Where the engine keeps its state, and whether it can always be read there."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

VARIABLE = "PULUMI_BACKEND_URL"
_SECONDS = 30
_SAFE = ("metadata", "skip")


class BackendError(Exception):
    """The engine does not say where it keeps its state; the message is the engine's."""


def address(project: Path) -> str:
    """The backend's URL, as `pulumi whoami` has it, for a project's folder. Raises BackendError."""
    argv = ["pulumi", "--non-interactive", "--color=never", "whoami", "--json"]
    try:
        done = subprocess.run(
            argv, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(str(error)) from None
    if done.returncode != 0:
        raise BackendError(done.stderr.strip() or done.stdout.strip())
    return str(json.loads(done.stdout)["url"])


def in_files_with_metadata(url: str) -> bool:
    """Whether the state lies in files, with a second file beside each that the engine empties before it writes it. Killed at that moment it
    leaves a stack that nobody can read ("failed to load checkpoint: EOF"). Pure."""
    parts = urlsplit(url)
    name, value = _SAFE
    return parts.scheme == "file" and parse_qs(parts.query).get(name) != [value]


def without_metadata(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """The command after which the same state is kept without these files. Pure but for its default."""
    wanted = f"{url}{'&' if urlsplit(url).query else '?'}{'='.join(_SAFE)}"
    if environment.get(VARIABLE):
        return f"export {VARIABLE}={shlex.quote(wanted)}"
    return f"pulumi login {shlex.quote(wanted)}"


def refusal(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """What was expected, what was found, what to do, of a backend that `in_files_with_metadata`."""
    return (
        f"Expected: a state that can be read whatever happens to the engine. Found: {url}, beside whose files the engine keeps others; killed "
        "while it writes one, nothing reads the state any more, while writes are refused.\n"
        f"To do: {without_metadata(url, environment)}"
    )
