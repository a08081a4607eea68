"""What `scripts.status` advises is what the program and the servers accept."""

from __future__ import annotations

from typing import Any

import pytest

from components.settings import Settings
from scripts.drift import Seen
from scripts.status_table import repair
from tests.unit.example_config import config


def advised(phase: str, finished: tuple[str, int] | None, **journals: Any) -> str:
    settings = Settings.from_config({**config(), "phase": phase, "round": 3})
    seen = {name: Seen({"journal": journals.get(name.replace("-", "_"), {})}) for name in ("db1", "db-a")}
    done = {"phase": finished[0], "round": finished[1]} if finished else {}
    return repair(settings, {**seen, "db2": Seen(None, "not reached")}, done)


def own(phase: str, round_: int, *, finished: bool = True) -> dict[str, Any]:
    return {"phase": phase, "round": round_, "finished": finished}


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (advised("cutover", ("cutover", 3)), "pulumi config set round 4 && pulumi up"),
        # The servers have seen a round that this checkout has not.
        (advised("cutover", ("cutover", 3), db1=own("cutover", 6)), "pulumi config set round 7 && pulumi up"),
        # The config asks for what is no move.
        (advised("retire", ("cutover", 3)), "pulumi config set phase replicas && pulumi preview"),
        # The servers are in the middle of something else.
        (
            advised("cutover", ("upgrade", 3), db1=own("prepare", 4, finished=False)),
            "pulumi config set phase prepare && pulumi config set round 5 && pulumi up",
        ),
        (advised("prepare", None), "pulumi config set round 4 && pulumi up"),
    ],
)
def test_the_repair_is_a_command_that_is_accepted(command: str, told: str) -> None:
    """A repair that is refused sends whoever is tired from one page to the next."""
    assert command == told
