"""An old database's EC2 instance ends: `python -m scripts.retire_instances`, desired state on stdin. A step of the program runs it on
the operator's machine.

The instance is stopped, snapshots of its volumes are taken and waited for, and only then is it terminated: what they hold is what
its volumes held last.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from scripts import aws
from scripts.final_snapshots import SNAPSHOT_SECONDS, known, take
from scripts.local_step import Desired, Time, Wait, main, say
from scripts.report import Facts, Refusal

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import InstanceTypeDef

# Seconds for an instance to stop or to be terminated; a stop of an operating system that hangs is forced by AWS before.
INSTANCE_SECONDS = 1200.0
GONE = "terminated"


def retire_instances(desired: Desired, time: Time) -> Facts:
    """Terminate the instance, with final snapshots. Raises Refusal: before anything is touched if it is another server's or is
    protected, past a deadline, and with what AWS refuses."""
    with aws.errors_told(desired):
        return _retire(aws.compute(desired), desired, time)


def _retire(ec2: EC2Client, desired: Desired, time: Time) -> Facts:
    id_ = desired["instanceId"]
    instance = _instance(ec2, id_)
    if instance is None or _state(instance) in (GONE, "shutting-down"):
        snapshots = {one["VolumeId"]: one["SnapshotId"] for one in reversed(known(ec2, id_))}
        if instance is None and not snapshots:
            raise Refusal(
                f"the instance {id_} of {desired['server']} in {desired['region']}",
                "no instance of this id there, and no final snapshot of one",
                f"correct pgleap:servers.{desired['server']}.instanceId, or take it out if the instance is gone already",
            )
        _wait_for(ec2, id_, GONE, time)
        return {"changed": [], "because": "the instance was terminated already", "snapshots": snapshots}
    _must_be_the_one(ec2, desired, instance)
    changed = []
    if _state(instance) != "stopped":
        say(f"stopping {id_}")
        ec2.stop_instances(InstanceIds=[id_])
        _wait_for(ec2, id_, "stopped", time)
        changed.append(f"stopped {id_}")
    snapshots, taken = take(ec2, desired, instance, Wait(SNAPSHOT_SECONDS, time, poll=15.0, again=600.0))
    say(f"all snapshots of {id_} are complete; terminating it")
    ec2.terminate_instances(InstanceIds=[id_])
    _wait_for(ec2, id_, GONE, time)
    facts: Facts = {
        "changed": [*changed, *taken, f"terminated {id_}"],
        "because": "final snapshots of all its volumes are complete",
        "snapshots": snapshots,
    }
    return {**facts, **_what_stays(instance)}


def _state(instance: InstanceTypeDef) -> str:
    return instance["State"]["Name"]


def _instance(ec2: EC2Client, id_: str) -> InstanceTypeDef | None:
    """As AWS describes it; None if there is none, as an hour after it was terminated."""
    try:
        reservations = ec2.describe_instances(InstanceIds=[id_])["Reservations"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
        return None
    return next((instance for one in reservations for instance in one["Instances"]), None)


def _must_be_the_one(ec2: EC2Client, desired: Desired, instance: InstanceTypeDef) -> None:
    """The server of the stack's config, and not protected. Raises Refusal."""
    id_, server, address = desired["instanceId"], desired["server"], desired["address"]
    addresses = [
        found
        for card in instance.get("NetworkInterfaces", [])
        for found in (
            *(one["PrivateIpAddress"] for one in card.get("PrivateIpAddresses", [])),
            *(one["Ipv6Address"] for one in card.get("Ipv6Addresses", [])),
        )
    ]
    if address not in addresses:
        raise Refusal(
            f"{id_} to be {server}, with the address {address}",
            f"its addresses are {', '.join(addresses) or 'none'}",
            f"correct pgleap:servers.{server}.instanceId: it would be terminated; nothing was changed",
        )
    protection = ec2.describe_instance_attribute(InstanceId=id_, Attribute="disableApiTermination")
    if protection["DisableApiTermination"].get("Value"):
        raise Refusal(
            f"{id_} ({server}) to be one that may be terminated",
            "its termination protection is on",
            f"aws ec2 modify-instance-attribute --instance-id {id_} --no-disable-api-termination, or take its instanceId"
            " out of the stack's config to keep it; nothing was changed",
        )


def _what_stays(instance: InstanceTypeDef) -> Facts:
    """Volumes that AWS does not delete with the instance, and goes on charging for."""
    attached = [one["Ebs"] for one in instance.get("BlockDeviceMappings", []) if "Ebs" in one]
    left = [one["VolumeId"] for one in attached if not one["DeleteOnTermination"]]
    return {"volumesLeft": left} if left else {}


def _wait_for(ec2: EC2Client, id_: str, wanted: str, time: Time) -> None:
    def left() -> str:
        instance = _instance(ec2, id_)
        state = GONE if instance is None else _state(instance)
        return "" if state == wanted else f"{id_} is {state}"

    def too_late(found: str) -> Refusal:
        return Refusal(
            f"{id_} to be {wanted} within {INSTANCE_SECONDS:g} s",
            f"after {INSTANCE_SECONDS:g} s {found}",
            "see to it in the EC2 console, then run `pulumi up` again",
        )

    Wait(INSTANCE_SECONDS, time).until_nothing_is(left, too_late)


if __name__ == "__main__":
    sys.exit(main(retire_instances))
