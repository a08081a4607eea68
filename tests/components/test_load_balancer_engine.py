"""The real engine runs the operator's own steps, in their place between those on the servers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.components.stack import Ground, Stack, opened
from tests.unit.example_config import config

pytestmark = pytest.mark.engine

# Says which way the server goes; refuses while there is a file `broken`.
SCRIPT = """#!/bin/sh
test ! -e {folder}/broken || {{ echo the load balancer does not answer; exit 1; }}
echo "$*" >> {folder}/said
"""


class Balancer:
    """A load balancer with commands: what it was told."""

    def __init__(self, folder: Path) -> None:
        self._said = folder / "said"
        self.broken = folder / "broken"
        self.script = folder / "lb"
        self.script.write_text(SCRIPT.format(folder=shlex.quote(str(folder))))
        self.script.chmod(0o755)

    @property
    def told(self) -> list[str]:
        return self._said.read_text().splitlines() if self._said.exists() else []

    @property
    def config(self) -> dict[str, Any]:
        commands = {way: [str(self.script), way, "{server}", "{address}"] for way in ("out", "in")}
        return {**config(), "loadBalancer": {"commands": commands, "drainSeconds": 20}}


@pytest.fixture
def balancer(tmp_path: Path) -> Balancer:
    return Balancer(tmp_path)


@pytest.fixture
def stack(ground: Ground, tmp_path: Path, balancer: Balancer) -> Iterator[Stack]:
    with opened(ground, tmp_path / "stack", balancer.config) as stack:
        yield stack


def test_a_server_is_out_before_writes_are_refused_and_in_again_on_the_way_back(
    stack: Stack, balancer: Balancer
) -> None:
    """A step that runs elsewhere than in the project's folder, or whose failure stops nobody, leaves the server in."""
    stack.up("prepare").checked()
    assert balancer.told == ["in web3 10.77.0.23"]
    assert stack.unchanged().exit == 0

    balancer.broken.touch()
    failed = stack.up("readonly")
    assert failed.exit != 0
    assert "pgleap: refused. Expected: " in failed.said
    assert "it said: the load balancer does not answer" in failed.said
    assert stack.fleet.primary.open, "writes must not be refused while a drained server still gets requests"

    balancer.broken.unlink()
    stack.up("readonly").checked()
    assert balancer.told[1:] == ["out web3 10.77.0.23"]
    assert not stack.fleet.primary.open

    stack.up("prepare", 2).checked()
    assert balancer.told[2:] == ["in web3 10.77.0.23"]
    assert stack.unchanged().exit == 0
