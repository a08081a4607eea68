"""What an operator types in these stories, and reads."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from rehearsal.stage import Stage


def script(it: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of the product's scripts, as an operator runs it."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=it.pulumi.project,
        env=it.pulumi.variables(),
        capture_output=True,
        text=True,
        check=False,
    )


def status(it: Stage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(script(it, "scripts.status", "--json").stdout)
    return found


def forward(it: Stage) -> None:
    """From prepare to cutover."""
    it.pulumi.up().checked()
    done = script(it, "scripts.window")
    assert done.returncode == 0, done.stdout + done.stderr


def way_back(it: Stage) -> dict[str, Any]:
    """What status says of a way back that loses nothing."""
    found: dict[str, Any] = status(it)["wayBack"]
    return found
