"""`scripts/preflight` as an operator runs it, in the lab."""

import json
import subprocess
import sys
from typing import Any

from rehearsal.lab.place import REPOSITORY
from rehearsal.stage import Stage


def preflight(it: Stage, *options: str) -> subprocess.CompletedProcess[str]:
    """What it says of this stage's stack, and its exit status."""
    argv = [sys.executable, "-m", "scripts.preflight", *options]
    return subprocess.run(
        argv, cwd=REPOSITORY, env=it.pulumi.variables(), capture_output=True, text=True, timeout=120, check=False
    )


def report(it: Stage) -> dict[str, Any]:
    """Everything that it found, as for a program. Its exit status says whether something refuses."""
    said = preflight(it, "--json")
    found: dict[str, Any] = json.loads(said.stdout)
    assert said.returncode == int(found["refuses"]), said.stderr
    return found


def with_status(found: dict[str, Any], *statuses: str) -> dict[str, dict[str, list[str]]]:
    """What was found by the checks that have one of these statuses: sentences by server, by the check's name."""
    return {row["name"]: row["found"] for row in found["checks"] if row["status"] in statuses}
