"""The final snapshots of an EC2 instance's volumes, found again by their tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from scripts.local_step import Desired, Wait, say
from scripts.report import Refusal

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import InstanceTypeDef, SnapshotTypeDef

# Seconds. A first snapshot copies the whole volume; minutes for every 100 GB, and it is no step of the window.
SNAPSHOT_SECONDS = 86_400.0
INSTANCE, VOLUME, DEVICE, SERVER = "pgleap:instance", "pgleap:volume", "pgleap:device", "pgleap:server"


def known(ec2: EC2Client, instance_id: str) -> list[SnapshotTypeDef]:
    """The final snapshots that there are of an instance, those that failed left out; the newest first."""
    pages = ec2.get_paginator("describe_snapshots").paginate(
        OwnerIds=["self"], Filters=[{"Name": f"tag:{INSTANCE}", "Values": [instance_id]}]
    )
    found = [one for page in pages for one in page["Snapshots"] if one["State"] != "error"]
    return sorted(found, key=lambda one: one["StartTime"], reverse=True)


def take(ec2: EC2Client, desired: Desired, instance: InstanceTypeDef, wait: Wait) -> tuple[dict[str, str], list[str]]:
    """Complete snapshots of every volume of a stopped instance: by volume, and what was done.

    One that began after the instance was last started is used again: nothing was written since. Raises Refusal.
    """
    attached = [one for one in instance.get("BlockDeviceMappings", []) if "Ebs" in one]
    wanted = {one["DeviceName"]: one["Ebs"]["VolumeId"] for one in attached}
    by_volume = _since(instance["LaunchTime"], known(ec2, desired["instanceId"]))
    changed = []
    for device, volume in wanted.items():
        if volume not in by_volume:
            by_volume[volume] = _begin(ec2, desired, device, volume)
            changed.append(f"took the snapshot {by_volume[volume]} of {volume} ({device})")
    ours = {volume: by_volume[volume] for volume in wanted.values()}

    def too_late(found: str) -> Refusal:
        return Refusal(
            f"final snapshots of {desired['server']} to be complete within {wait.seconds:g} s",
            f"after {wait.seconds:g} s {found}",
            "wait for them, then run `pulumi up` again: it goes on with these; the instance is stopped, and is there still",
        )

    if ours:
        wait.until_nothing_is(lambda: _incomplete(ec2, list(ours.values())), too_late)
    return ours, changed


def _since(started: datetime, snapshots: Sequence[SnapshotTypeDef]) -> dict[str, str]:
    """Volume -> its newest snapshot that began after `started`."""
    found: dict[str, str] = {}
    for one in snapshots:
        if one["StartTime"] >= started:
            found.setdefault(one["VolumeId"], one["SnapshotId"])
    return found


def _begin(ec2: EC2Client, desired: Desired, device: str, volume: str) -> str:
    server, instance_id = desired["server"], desired["instanceId"]
    say(f"taking a snapshot of {volume} ({device})")
    tags: Mapping[str, str] = {
        "Name": f"{server} {device}, final",
        SERVER: server,
        INSTANCE: instance_id,
        VOLUME: volume,
        DEVICE: device,
    }
    made = ec2.create_snapshot(
        VolumeId=volume,
        Description=f"Made by pgleap before {instance_id} ({server}, {desired['address']}) was terminated",
        TagSpecifications=[
            {"ResourceType": "snapshot", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
    )
    return made["SnapshotId"]


def _incomplete(ec2: EC2Client, ids: Sequence[str]) -> str:
    """Which of the snapshots are not complete yet, and how far they are. Raises Refusal if one failed."""
    found = ec2.describe_snapshots(SnapshotIds=list(ids))["Snapshots"]
    for one in found:
        if one["State"] == "error":
            raise Refusal(
                f"the snapshot {one['SnapshotId']} of {one['VolumeId']} to be made",
                f"AWS says that it failed: {one.get('StateMessage') or 'it does not say why'}",
                "run `pulumi up` again, which makes another one",
            )
    return ", ".join(
        f"{one['SnapshotId']} of {one['VolumeId']} is {one['State']}, {one.get('Progress') or '0%'}"
        for one in found
        if one["State"] != "completed"
    )
