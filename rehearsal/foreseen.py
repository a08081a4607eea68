"""What scripts.forecast says of the stage's next window, as an operator asks it."""

from __future__ import annotations

import json
import subprocess
import sys

from pydantic import BaseModel, ConfigDict

from rehearsal.lab.place import LabError
from rehearsal.stage import Stage
from scripts.forecast.run import Shape


class Foreseen(BaseModel):
    """Seconds for which writes will be refused, in the median and in a bad case; of how large a fleet, and from how many windows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    median: float
    bad: float
    shape: Shape
    runs: int


def ask(it: Stage) -> Foreseen:
    """`python -m scripts.forecast --json`. Raises LabError if nothing can be said."""
    argv = [sys.executable, "-m", "scripts.forecast", "--json"]
    asked = subprocess.run(
        argv, cwd=it.pulumi.project, env=it.pulumi.variables(), capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise LabError(f"Expected a forecast, found exit status {asked.returncode}: {asked.stdout}{asked.stderr}")
    return Foreseen.model_validate(json.loads(asked.stdout))
