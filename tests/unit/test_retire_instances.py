"""Old databases' instances: snapshots first, then the end, and never another server's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from scripts import aws
from scripts.final_snapshots import SNAPSHOT_SECONDS
from scripts.report import Refusal
from scripts.retire_instances import INSTANCE_SECONDS, retire_instances
from tests.unit.operator_steps import MOTOS_IMAGE, REGION, FakeTime

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

ADDRESS = "10.77.0.11"


class Cloud:
    """db1's instance in an AWS in memory: a root volume, and one for data that AWS would not delete with it."""

    def __init__(self) -> None:
        self.ec2: EC2Client = boto3.client("ec2", REGION)
        vpc = self.ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.0.0/24")["Subnet"]
        made = self.ec2.run_instances(
            ImageId=MOTOS_IMAGE, MinCount=1, MaxCount=1, SubnetId=subnet["SubnetId"], PrivateIpAddress=ADDRESS
        )
        self.id = made["Instances"][0]["InstanceId"]
        zone = subnet["AvailabilityZone"]
        self.data = self.ec2.create_volume(AvailabilityZone=zone, Size=100)["VolumeId"]
        self.ec2.attach_volume(VolumeId=self.data, InstanceId=self.id, Device="/dev/sdf")

    @property
    def state(self) -> str:
        return self.ec2.describe_instances(InstanceIds=[self.id])["Reservations"][0]["Instances"][0]["State"]["Name"]

    def snapshots(self) -> dict[str, dict[str, str]]:
        """Snapshot id -> its tags, of those that are ours."""
        found = self.ec2.describe_snapshots(Filters=[{"Name": "tag-key", "Values": ["pgleap:instance"]}])["Snapshots"]
        return {one["SnapshotId"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in found}

    def asked(self, **more: Any) -> dict[str, Any]:
        return {
            "server": "db1",
            "address": ADDRESS,
            "round": 1,
            "instanceId": self.id,
            "terminate": True,
            "region": REGION,
            **more,
        }

    def retire(self, **more: Any) -> dict[str, Any]:
        return retire_instances(self.asked(**more), FakeTime().time)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with mock_aws():
        yield Cloud()


def test_every_volume_is_kept_as_a_snapshot_and_then_the_instance_ends(cloud: Cloud) -> None:
    """The data volume is the one that nobody can make again, and a snapshot that names no server is never found."""
    facts = cloud.retire()
    assert cloud.state == "terminated"
    tags = {one["pgleap:device"]: one for one in cloud.snapshots().values()}
    assert len(tags) == 2
    assert tags["/dev/sdf"] == {
        "Name": "db1 /dev/sdf, final",
        "pgleap:server": "db1",
        "pgleap:instance": cloud.id,
        "pgleap:volume": cloud.data,
        "pgleap:device": "/dev/sdf",
    }
    assert set(facts["snapshots"].values()) == set(cloud.snapshots())
    assert facts["changed"][0] == f"stopped {cloud.id}"
    assert facts["changed"][-1] == f"terminated {cloud.id}"
    assert cloud.data in facts["volumesLeft"], "AWS goes on charging for it"


def test_once_more_changes_nothing_and_still_tells_the_snapshots(cloud: Cloud) -> None:
    """A raised round runs the step again; the outputs must go on saying where the data is."""
    first = cloud.retire()
    before = cloud.snapshots()
    again = cloud.retire()
    assert (again["changed"], again["snapshots"]) == ([], first["snapshots"])
    assert "terminated already" in again["because"]
    assert cloud.snapshots() == before


def test_another_servers_instance_is_left_alone(cloud: Cloud) -> None:
    """An instance id copied from another line would end a database that is in use."""
    with pytest.raises(Refusal, match=r"to be db1, with the address 10\.77\.0\.14.*10\.77\.0\.11.*nothing was changed"):
        cloud.retire(address="10.77.0.14")
    assert (cloud.state, cloud.snapshots()) == ("running", {})


def test_a_protected_instance_is_left_alone(cloud: Cloud) -> None:
    """It would be stopped and stay so: somebody said that it must not end."""
    cloud.ec2.modify_instance_attribute(InstanceId=cloud.id, DisableApiTermination={"Value": True})
    with pytest.raises(Refusal, match=r"termination protection is on.*nothing was changed"):
        cloud.retire()
    assert (cloud.state, cloud.snapshots()) == ("running", {})


def test_an_instance_that_never_was_is_not_called_terminated(cloud: Cloud) -> None:
    """A mistyped id would leave the instance running and paid for, and say that it has ended."""
    with pytest.raises(Refusal, match=r"no instance of this id there.*pgleap:servers\.db1\.instanceId"):
        cloud.retire(instanceId="i-00000000000000000")


def started(**ago: float) -> datetime:
    return datetime.now(UTC) - timedelta(**ago)


class SlowEc2:
    """The calls of boto3's client that are used, for a stopped instance whose snapshots take their time. `calls`: what was done."""

    def __init__(self, time: FakeTime, launched: datetime, takes: float = 600.0) -> None:
        self._time, self._launched, self._takes = time, launched, takes
        self.state = "stopped"
        self.calls: list[str] = []
        self.snapshots: list[dict[str, Any]] = []
        self.fails = False
        self.ends = True

    def describe_instances(self, InstanceIds: list[str]) -> dict[str, Any]:  # noqa: N803
        card = {"PrivateIpAddresses": [{"PrivateIpAddress": ADDRESS}]}
        disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeId": "vol-1", "DeleteOnTermination": True}}
        instance = {"State": {"Name": self.state}, "LaunchTime": self._launched, "NetworkInterfaces": [card]}
        return {"Reservations": [{"Instances": [{**instance, "BlockDeviceMappings": [disk]}]}]}

    def describe_instance_attribute(self, InstanceId: str, Attribute: str) -> dict[str, Any]:  # noqa: N803
        return {"DisableApiTermination": {"Value": False}}

    def get_paginator(self, name: str) -> SlowEc2:
        assert name == "describe_snapshots"
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Snapshots": self.snapshots[:1]}, {"Snapshots": self.snapshots[1:]}]

    def create_snapshot(self, **given: Any) -> dict[str, Any]:
        self.calls.append("snapshot")
        return self.there("snap-new", "pending", started())

    def there(self, id_: str, state: str, at: datetime) -> dict[str, Any]:
        found = {"SnapshotId": id_, "VolumeId": "vol-1", "State": state, "StartTime": at, "since": self._time.now}
        self.snapshots.append(found)
        return found

    def describe_snapshots(self, SnapshotIds: list[str]) -> dict[str, Any]:  # noqa: N803
        for one in self.snapshots:
            spent = self._time.now - one["since"]
            one["Progress"] = f"{min(100, 100 * spent / self._takes):.0f}%"
            if one["State"] == "pending" and spent >= self._takes:
                one["State"] = "error" if self.fails else "completed"
        return {"Snapshots": [one for one in self.snapshots if one["SnapshotId"] in SnapshotIds]}

    def terminate_instances(self, InstanceIds: list[str]) -> None:  # noqa: N803
        self.calls.append("terminate")
        self.state = "terminated" if self.ends else "shutting-down"


ASKED = {"server": "db1", "address": ADDRESS, "instanceId": "i-0123456789abcdef0", "terminate": True, "region": REGION}


def slow(monkeypatch: pytest.MonkeyPatch, time: FakeTime, **given: Any) -> SlowEc2:
    ec2 = SlowEc2(time, **{"launched": started(days=30), **given})
    monkeypatch.setattr(aws, "compute", lambda _: ec2)
    return ec2


def test_nothing_ends_before_its_snapshots_are_complete(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A snapshot that is pending can fail yet, and then the volume is gone."""
    time = FakeTime()
    ec2 = slow(monkeypatch, time)
    retire_instances(ASKED, time.time)
    assert ec2.calls == ["snapshot", "terminate"]
    assert time.now >= 600
    assert "snap-new of vol-1 is pending, 50%" in capsys.readouterr().err


def test_a_snapshot_that_failed_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next run makes another one: the failed one is never complete."""
    time = FakeTime()
    ec2 = slow(monkeypatch, time)
    ec2.fails = True
    with pytest.raises(Refusal, match="snap-new of vol-1 to be made"):
        retire_instances(ASKED, time.time)
    assert ec2.calls == ["snapshot"]
    ec2.fails = False
    ec2.snapshots[0]["SnapshotId"] = "snap-failed"
    facts = retire_instances(ASKED, time.time)
    assert ec2.calls == ["snapshot", "snapshot", "terminate"]
    assert facts["snapshots"] == {"vol-1": "snap-new"}


def test_the_deadline_of_snapshots_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day is over, not the snapshot; the next run goes on with it and makes no second one."""
    time = FakeTime()
    ec2 = slow(monkeypatch, time, takes=SNAPSHOT_SECONDS * 1.5)
    with pytest.raises(Refusal, match=r"complete within 86400 s.*is pending, 67%"):
        retire_instances(ASKED, time.time)
    assert ec2.calls == ["snapshot"]
    retire_instances(ASKED, time.time)
    assert ec2.calls == ["snapshot", "terminate"]


@pytest.mark.parametrize(("taken", "again"), [(started(hours=1), []), (started(hours=3), ["snapshot"])])
def test_a_snapshot_counts_if_nothing_was_written_since(
    monkeypatch: pytest.MonkeyPatch, taken: datetime, again: list[str]
) -> None:
    """One from before the instance was started again lacks what was written then."""
    time = FakeTime()
    ec2 = slow(monkeypatch, time, launched=started(hours=2))
    ec2.there("snap-old", "completed", started(days=9))
    ec2.there("snap-there", "completed", taken)
    facts = retire_instances(ASKED, time.time)
    assert ec2.calls == [*again, "terminate"]
    assert facts["snapshots"] == {"vol-1": "snap-new" if again else "snap-there"}


def test_an_instance_that_does_not_end_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` would wait for ever."""
    time = FakeTime()
    ec2 = slow(monkeypatch, time, takes=1.0)
    ec2.ends = False
    with pytest.raises(Refusal, match=r"to be terminated within 1200 s.*is shutting-down"):
        retire_instances(ASKED, time.time)
    assert time.now >= INSTANCE_SECONDS
