"""A new user's path: the commands of README's set-up and of the runbook's phases, typed as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from components.settings import Settings
from rehearsal.engine.project import Pulumi
from rehearsal.plugins.cloud import Cloud
from rehearsal.plugins.serve import serving
from tests.components.documented import REPOSITORY, STATE, typed
from tests.components.simulation import SimulatedFleet
from tests.components.stack import FORWARD, Ground, opened
from tests.components.test_instances_on_engine import PowerSwitch
from tests.unit.example_config import fleet_config

pytestmark = pytest.mark.engine

# Python's packages and the engine's plug-ins come from elsewhere: this environment and the stand-ins take their place.
FROM_ELSEWHERE = ("python3.11 -m venv ", "pulumi plugin install ")
SECRET = re.compile(r"^pulumi config set --secret ")


def set_up() -> list[str]:
    """The lines of README's set-up."""
    (block,) = re.findall(r"### Set up\n```\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    return str(block).splitlines()


def types() -> dict[str, str]:
    """What the runbook has typed, by phase."""
    found = re.findall(
        r"^### `(\w+)`$.*?^- \*\*Type\*\* `([^`]+)`", (REPOSITORY / "docs/runbook.md").read_text(), re.M | re.S
    )
    return dict(found)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a clone has: the files of this repository that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    folder = tmp_path / "clone"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture
def operator(ground: Ground, clone: Path, tmp_path: Path) -> Iterator[Pulumi]:
    """A machine on which nothing of pgleap was ever typed."""
    example = yaml.safe_load((REPOSITORY / "Pulumi.prod.yaml").read_text())["config"]
    fleet = SimulatedFleet(
        Settings.from_config(
            {key.removeprefix("pgleap:"): value for key, value in example.items() if key.startswith("pgleap:")}
        ),
        tmp_path / "servers",
    )
    (tmp_path / "state").mkdir()
    with serving(fleet, cloud=Cloud(PowerSwitch(fleet))) as variables:
        keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_REGION": "eu-central-1"}
        yield Pulumi(
            ground.engine, clone, tmp_path / "home", tmp_path / "state", "", "a passphrase", {**variables, **keys}
        )


def test_the_set_up_ends_with_a_preview(operator: Pulumi) -> None:
    """The first half hour decides whether anybody goes on; the copied example's secrets were another key's, and nothing could be read."""
    lines = set_up()
    assert sum(line.startswith(FROM_ELSEWHERE) for line in lines) == 3
    here = [line for line in lines if not line.startswith(FROM_ELSEWHERE)]
    # A person types the secret where the engine asks for it.
    here = [f"echo 'correct horse' | {line}" if SECRET.match(line) else line for line in here]
    # The backend and the stack are what is typed, and no variable's.
    said = typed("\n".join(["unset PULUMI_BACKEND_URL PULUMI_STACK", *here]), replace(operator))
    assert "Previewing update (fleet)" in said
    assert re.search(r"\+ \d+ to create", said), said
    assert STATE not in said


def test_the_runbooks_phases_as_typed(ground: Ground, tmp_path: Path) -> None:
    """A command of the night that is refused is found out in the night."""
    with opened(ground, tmp_path / "stack", fleet_config()) as stack:
        assert tuple(types()) == FORWARD
        for phase, line in types().items():
            typed(line, stack.pulumi)
            assert stack.pulumi.outputs()["finished"]["phase"] == phase
