"""Instances under the real engine, over the stand-in for AWS: what it makes, refuses, keeps and forgets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from components.settings import Settings
from rehearsal.engine.project import Pulumi
from rehearsal.plugins.cloud import Cloud
from rehearsal.plugins.serve import serving
from scripts.window.engine import NO_CHECKPOINTS
from tests.components.simulation import SimulatedFleet
from tests.components.stack import Ground
from tests.unit.example_config import config_on_ec2

pytestmark = pytest.mark.engine


@dataclass
class PowerSwitch:
    """Machines that are servers of the simulated fleet: off, they are not reached."""

    fleet: SimulatedFleet
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def _name(self, address: str) -> str:
        machine = self.fleet.world.at(address)
        assert machine is not None
        return machine.name

    async def start(self, address: str, user_data: str) -> None:
        assert user_data.startswith("#cloud-config")
        self.started.append(self._name(address))
        self.fleet.unreachable.discard(self._name(address))

    async def stop(self, address: str) -> None:
        self.stopped.append(self._name(address))
        self.fleet.unreachable.add(self._name(address))


@dataclass
class Stack:
    """A stack with three instances, none of which is there yet."""

    pulumi: Pulumi
    fleet: SimulatedFleet
    cloud: Cloud
    machines: PowerSwitch

    def up(self, phase: str, round_: int = 1, **more: Any) -> None:
        self.ask(phase, round_, **more)
        self.pulumi.up().checked()

    def ask(self, phase: str, round_: int = 1, **more: Any) -> None:
        values = {f"pgleap:{key}": value for key, value in more.items()}
        self.pulumi.configure({"pgleap:phase": phase, "pgleap:round": round_, **values})

    def at_aws(self) -> list[str]:
        """The types of what is there, such as Instance, sorted."""
        return sorted(token.rpartition(":")[2] for token, _ in self.cloud.there)


@pytest.fixture
def stack(ground: Ground, tmp_path: Path) -> Iterator[Stack]:
    """With DB_A and two new replicas as instances."""
    with stood(ground, tmp_path, config_on_ec2()) as stack:
        yield stack


@pytest.fixture
def alone(ground: Ground, tmp_path: Path) -> Iterator[Stack]:
    """With DB_A alone."""
    raw = config_on_ec2()
    del raw["servers"]["db-c"], raw["servers"]["db-d"]
    raw["hostPrivateKeys"] = {"db-a": raw["hostPrivateKeys"]["db-a"]}
    with stood(ground, tmp_path, raw) as stack:
        yield stack


@contextmanager
def stood(ground: Ground, tmp_path: Path, raw: dict[str, Any]) -> Iterator[Stack]:
    project = tmp_path / "project"
    project.mkdir()
    for part in ground.sources.iterdir():
        (project / part.name).symlink_to(part)
    fleet = SimulatedFleet(Settings.from_config(raw), tmp_path / "servers")
    fleet.unreachable |= raw["hostPrivateKeys"].keys()
    machines = PowerSwitch(fleet)
    cloud = Cloud(machines)
    secret = ("password", "replicationPassword", "hostPrivateKeys")
    with serving(fleet, cloud=cloud) as plugins:
        pulumi = Pulumi(
            *(ground.engine, project, tmp_path / "home", tmp_path / "state", "sim"),
            environment={**plugins, **NO_CHECKPOINTS},
        )
        pulumi.init()
        pulumi.configure({f"pgleap:{key}": value for key, value in raw.items() if key not in secret})
        pulumi.config_set("pgleap:password", "correct horse", secret=True)
        pulumi.config_set("pgleap:replicationPassword", "battery staple", secret=True)
        for name, key in raw["hostPrivateKeys"].items():
            pulumi.config_set(f"pgleap:hostPrivateKeys.{name}", key, secret=True)
        yield Stack(pulumi, fleet, cloud, machines)
    fleet.save()
    assert fleet.violations == []


# What each is made of: one rule for each of two networks and two groups, for the old primary, and for the other new databases.
OF_ONE = ["Instance", "SecurityGroup", "Volume", "VolumeAttachment", "SecurityGroupEgressRule"]
OF_ALONE = sorted(OF_ONE + ["SecurityGroupIngressRule"] * 5)
OF_THREE = sorted((OF_ONE + ["SecurityGroupIngressRule"] * 7) * 3)


def test_there_and_back_and_there_again(stack: Stack) -> None:
    """An instance that came or went on the way would have writes wait for AWS."""
    stack.up("prepare")
    assert sorted(stack.machines.started) == ["db-a", "db-c", "db-d"]
    assert stack.at_aws() == OF_THREE
    assert stack.pulumi.preview("--expect-no-changes", diff=False).exit == 0
    stack.up("readonly")
    stack.up("upgrade")
    stack.up("cutover")
    stack.up("upgrade", 2)
    stack.up("cutover", 2)
    assert len(stack.machines.started) == 3
    assert stack.machines.stopped == []
    assert stack.at_aws() == OF_THREE


def test_what_would_replace_db_a_is_refused_and_its_image_never_does(alone: Stack) -> None:
    """Another image, address or key in the stack's config, and the window ends with an empty machine."""
    alone.up("prepare")
    alone.up("readonly")
    servers = config_on_ec2()["servers"]
    del servers["db-c"], servers["db-d"]
    servers["db-a"]["instance"]["ami"] = "ami-0fedcba9876543210"
    alone.ask("readonly", servers=servers)
    assert alone.pulumi.preview("--expect-no-changes", diff=False).exit == 0
    servers["db-a"]["instance"]["keyName"] = "another"
    alone.ask("readonly", servers=servers)
    refused = alone.pulumi.up()
    assert refused.exit != 0
    assert "protect" in refused.said
    assert alone.machines.stopped == []


def test_a_network_that_leaves_the_config_is_shut_out_also_in_the_window(alone: Stack) -> None:
    """Kept or protected, its rule would go on letting it in, and the config would say otherwise."""
    alone.up("prepare")
    alone.up("readonly")
    aws = config_on_ec2()["aws"]
    aws["sshFrom"] = aws["sshFrom"][:1]
    alone.up("readonly", aws=aws)
    assert alone.at_aws().count("SecurityGroupIngressRule") == 4


def test_destroy_ends_what_never_took_over_and_is_refused_while_it_could(alone: Stack) -> None:
    """A stack given up in prepare must leave no bill; one in the window must not go with the authority to write."""
    alone.up("prepare")
    alone.up("readonly")
    assert alone.pulumi.run("destroy", "--yes").exit != 0
    assert alone.machines.stopped == []
    alone.up("prepare", 2)
    alone.pulumi.run("destroy", "--yes").checked()
    assert alone.machines.stopped == ["db-a"]
    assert alone.at_aws() == []


def test_a_kept_database_outlives_destroy_with_all_that_it_needs(alone: Stack) -> None:
    """A database whose rules or volume went with the stack is as good as gone. How it is told is in the engine's own preview."""
    alone.up("prepare")
    alone.up("readonly")
    unprotected = alone.pulumi.run("state", "unprotect", "--all", "--yes")
    assert unprotected.exit == 0
    preview = alone.pulumi.run("destroy", "--preview-only", "--diff").checked().said
    assert "pulumi destroy forgets db-a and leaves them running" in preview
    assert "aws.keepDatabases false && pulumi up && pulumi destroy" in preview
    assert "db-a-instance delete[retain]" in alone.pulumi.run("destroy", "--yes").checked().said
    assert alone.machines.stopped == []
    assert alone.at_aws() == OF_ALONE


def test_an_instance_replaced_on_purpose_keeps_its_volume_and_gets_the_agent(alone: Stack) -> None:
    """Without its volume the data are gone; without the agent no step runs on it again."""
    alone.up("prepare")
    (volume,) = (key for key in alone.cloud.there if key[0].endswith("Volume"))
    (urn,) = (one["urn"] for one in alone.pulumi.resources() if one["type"] == "aws:ec2/instance:Instance")
    alone.fleet.events.clear()
    alone.pulumi.up("--replace", urn).checked()
    assert (alone.machines.stopped, alone.machines.started) == (["db-a"], ["db-a", "db-a"])
    assert volume in alone.cloud.there
    assert alone.at_aws() == OF_ALONE
    assert alone.fleet.steps()[:2] == [("db-a", "boot"), ("db-a", "install")]
