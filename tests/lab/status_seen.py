"""`scripts/status` as an operator runs it, in the lab."""

import json
import subprocess
import sys
from typing import Any

from rehearsal.lab.place import REPOSITORY
from rehearsal.stage import Stage


def status(it: Stage, *options: str) -> subprocess.CompletedProcess[str]:
    """What it says of this stage's stack, and its exit status."""
    # A deadline for a machine on which ten servers, their clients and the tests share two cores; a later one wins.
    argv = [sys.executable, "-m", "scripts.status", "--deadline", "30", *options]
    return subprocess.run(
        argv, cwd=REPOSITORY, env=it.pulumi.variables(), capture_output=True, text=True, timeout=120, check=False
    )


def found(it: Stage, *options: str) -> dict[str, Any]:
    """Everything that it found, as for a program. Its exit status says whether there is drift."""
    said = status(it, "--json", *options)
    report: dict[str, Any] = json.loads(said.stdout)
    assert said.returncode == (1 if report["drift"] else 0), said.stderr
    return report


def drift(it: Stage) -> list[str]:
    """How the servers differ from the stack's phase, in sentences."""
    sentences: list[str] = found(it)["drift"]
    return sentences
