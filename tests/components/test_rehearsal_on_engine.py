"""A rehearsal under the real engine, over the simulated fleet: made, upgraded, thrown away, beside a fleet that serves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.client_rules import REHEARSAL
from agent.journal import Authority, must_read
from agent.rehearsal import FOLDER, INSTALLED
from agent.states import REHEARSAL_VERBS
from scripts.forecast.run import kept
from tests.components.simulation import Fault, Simulated
from tests.components.stack import PROJECT, Ground, Stack, opened
from tests.unit.example_config import fleet_config

pytestmark = pytest.mark.engine

HOSTS = "/etc/hosts"
RAW = {**fleet_config(), "rehearsal": "true", "limits": {"rehearsalWalBytes": 1024}}


@pytest.fixture
def stack(ground: Ground, tmp_path: Path) -> Iterator[Stack]:
    with opened(ground, tmp_path / "stack", {**RAW, "phase": "prepare", "round": "1"}) as open_one:
        yield open_one


def of_the_primary(primary: Simulated) -> dict[str, object]:
    """What a rehearsal must leave as it was."""
    (cluster,) = primary.machine.running()
    files = {
        name: primary.machine.text(f"{cluster.config}/{name}")
        for name in ("pg_hba.conf", "pg_ident.conf", "postgresql.conf")
    }
    auto = primary.machine.text(f"{cluster.data}/postgresql.auto.conf")
    return {**files, "auto": auto, "slots": set(cluster.slots), "catalog": dict(cluster.catalog), "pid": cluster.pid}


def hosts(stack: Stack) -> dict[str, str]:
    return {name: machine.text(HOSTS) for name, machine in stack.fleet.world.machines.items()}


def traces(stack: Stack) -> list[str]:
    """What is left of pgleap's on any server."""
    roots = [machine.root for machine in stack.fleet.world.machines.values()]
    return [str(file.relative_to(root)) for root in roots for file in root.rglob("*pgleap*")]


def test_from_the_base_backup_to_the_end(stack: Stack) -> None:
    """What it made stays, or what it did not make goes; or somebody's writes were refused meanwhile."""
    primary, target = stack.fleet.primary, stack.fleet.target
    before, hosts_before = of_the_primary(primary), hosts(stack)
    stack.up("prepare").checked()
    (cluster,) = primary.machine.running()
    assert REHEARSAL in cluster.slots
    (standby,) = target.machine.running()
    assert standby.recovery
    assert primary.open
    assert not target.open
    assert stack.unchanged().exit == 0
    stack.up("upgrade").checked()
    assert primary.open
    assert not target.open
    (upgraded,) = target.machine.running()
    assert (upgraded.version, upgraded.recovery) == (17, False)
    assert (upgraded.settings["max_logical_replication_workers"], upgraded.settings["archive_mode"]) == ("0", "off")
    assert REHEARSAL not in cluster.slots
    measured = stack.pulumi.outputs()["measured"]
    assert {"promote", "stop", "pg_upgrade", "start", "statistics", "baseBackup"} <= measured["seconds"].keys()
    assert measured["counts"]["relations"] == 700
    assert {verb for _, verb in stack.fleet.steps()} <= {verb.value for verb in REHEARSAL_VERBS}
    assert {server for server, _ in stack.fleet.steps()} <= {"db1", "db-a"}
    own = must_read(target.machine.keeping_in(FOLDER))
    assert (own.authority, own.finished) == (Authority.NONE, True)
    stack.pulumi.destroy().checked()
    assert of_the_primary(primary) == before
    assert hosts(stack) == hosts_before
    assert target.machine.running() == []
    assert not target.machine.path("/var/lib/postgresql/15/main").exists()
    assert not target.machine.path("/var/lib/postgresql/17/main").exists()
    assert traces(stack) == []


def test_one_that_failed_half_way_goes_too(stack: Stack) -> None:
    """The step that failed is in no state: its clusters would stay, and the slot fill the primary's disk."""
    primary = stack.fleet.primary
    before = of_the_primary(primary)
    stack.fleet.faults["db-a", "rehearsal-target"] = Fault.AFTER
    assert stack.up("prepare").exit != 0
    assert stack.fleet.target.machine.running()
    stack.pulumi.destroy().checked()
    assert of_the_primary(primary) == before
    assert stack.fleet.target.machine.running() == []
    assert traces(stack) == []


def test_back_to_prepare_is_a_new_copy(stack: Stack) -> None:
    """The second rehearsal measures the upgraded cluster of the first, or fails on it."""
    for phase, round_ in (("prepare", 1), ("upgrade", 1), ("prepare", 2), ("upgrade", 2)):
        stack.up(phase, round_).checked()
    assert stack.pulumi.outputs()["finished"] == {"phase": "upgrade", "round": 2}
    assert stack.fleet.primary.open


def test_the_command(stack: Stack) -> None:
    """A rehearsal whose figures nobody finds, or that stands for ever on the primary."""
    before = of_the_primary(stack.fleet.primary)
    stack.ask("cutover", 1)  # as it came with the window's config
    done = subprocess.run(
        [sys.executable, "-m", "scripts.rehearsal", "--yes"],
        cwd=stack.pulumi.project,
        env={**stack.pulumi.variables(), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs, strange = kept([stack.pulumi.project / ".pgleap/windows.jsonl"])
    assert ([run.ended for run in runs], strange) == (["rehearsal"], 0)
    assert runs[0].true_data
    assert of_the_primary(stack.fleet.primary) == before
    assert traces(stack) == []
    (left_out,) = [line for line in done.stdout.splitlines() if line.startswith("Left out: told nothing")]
    assert all(name in left_out for name in ("db2", "web1", "worker2"))
    assert "correct horse" not in json.dumps([done.stdout, done.stderr])
    assert not stack.fleet.target.machine.path(INSTALLED).exists()
