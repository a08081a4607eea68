"""`scripts/preflight` as an operator runs it, in the lab."""

import json
import subprocess
import sys
from typing import Any

from rehearsal.lab.place import REPOSITORY
from rehearsal.stage import Stage

SECONDS = 10  # for the whole fleet
# What the lab has on purpose, for a rehearsal to show what becomes of it.
OF_THE_LAB = ("public.basket", "the role app_writer in the database metrics", "public.stock_change")


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


def strange(found: dict[str, Any]) -> list[str]:
    """Warnings that are about something else than what the lab has on purpose."""
    warnings = with_status(found, "warn")
    sentences = [
        f"{name} on {server}: {one}" for name, by in warnings.items() for server, each in by.items() for one in each
    ]
    return [sentence for sentence in sentences if not any(known in sentence for known in OF_THE_LAB)]
