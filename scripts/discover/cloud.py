"""What EC2 and the load balancers are asked. It only reads; docs/aws.md lists these calls as the policy that they need."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from components.config_fields import shown
from components.settings import Role
from scripts.discover import found
from scripts.discover.found import BASTION, DATABASES, ROLES, Disk, Found, Machine

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef
    from types_boto3_elbv2 import ElasticLoadBalancingv2Client

SSH = 22
RUNNING = "running"


@dataclass(frozen=True)
class Cloud:
    """One account in one region. Every method raises botocore's ClientError and BotoCoreError."""

    ec2: EC2Client
    elbv2: ElasticLoadBalancingv2Client

    def read(self, prefix: str, vpc_id: str | None) -> Found:
        """The fleet whose instances bear the tag `<prefix>role`, in one VPC or in all."""
        tag = f"{prefix}role"
        tagged = list(self._instances(tag, vpc_id))
        running = [instance for instance in tagged if _state(instance) == RUNNING]
        instances = [instance for instance in running if found.tags_of(instance)[tag] in ROLES]
        machines = _with_names_of_their_own([found.machine(instance, prefix) for instance in instances])
        databases = [machine for machine in machines if machine.role in DATABASES]
        roots = {instance["InstanceId"]: instance.get("RootDeviceName", "") for instance in instances}
        subnets = sorted({machine.subnet_id for machine in databases})
        drained = [machine for machine in machines if machine.role == Role.DRAINED]
        return Found(
            region=self.ec2.meta.region_name,
            prefix=prefix,
            machines=tuple(machines),
            skipped=tuple(
                f"{_called(each)}: left out, it is {_state(each)}" for each in tagged if _state(each) != RUNNING
            ),
            mistyped=tuple(
                f"{_called(each)}: its tag {tag} says {shown(found.tags_of(each)[tag])}; give one of {', '.join(ROLES)}"
                for each in running
                if each not in instances
            ),
            host_keys=self._host_keys(machines),
            target_groups=self._target_groups(drained),
            disks=self._disks(databases, roots),
            images=self._images({machine.image for machine in databases}),
            networks=self._networks(subnets),
            taken={subnet: self._taken(subnet) for subnet in subnets},
            ssh_from=self._ssh_from(machines, {group for machine in databases for group in machine.groups}),
        )

    def _instances(self, role_tag: str, vpc_id: str | None) -> Iterator[InstanceTypeDef]:
        filters = [_only("tag-key", [role_tag]), *([_only("vpc-id", [vpc_id])] if vpc_id else [])]
        for page in self.ec2.get_paginator("describe_instances").paginate(Filters=filters):
            for reservation in page["Reservations"]:
                yield from reservation["Instances"]

    def _host_keys(self, machines: Iterable[Machine]) -> dict[str, str]:
        keys = {machine.instance_id: self._host_key(machine.instance_id) for machine in machines}
        return {instance_id: key for instance_id, key in keys.items() if key}

    def _host_key(self, instance_id: str) -> str | None:
        """What EC2 kept of the last start; else what stands on the serial console now, which only Nitro instances tell."""
        kept = self.ec2.get_console_output(InstanceId=instance_id).get("Output", "")
        if key := found.host_key_in(kept):
            return key
        try:
            return found.host_key_in(self.ec2.get_console_output(InstanceId=instance_id, Latest=True).get("Output", ""))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "UnsupportedOperation":
                raise
            return None

    def _target_groups(self, machines: Sequence[Machine]) -> dict[str, tuple[str, ...]]:
        """The target groups that each is in, by its instance id or by its address."""
        in_groups: dict[str, list[str]] = defaultdict(list)
        if not machines:
            return {}
        for page in self.elbv2.get_paginator("describe_target_groups").paginate():
            for group in page["TargetGroups"]:
                targets = self.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
                known = {health["Target"]["Id"] for health in targets["TargetHealthDescriptions"]}
                for machine in machines:
                    # Addresses are a VPC's own: another one may have the same.
                    if known & {machine.instance_id, machine.address} and group.get("VpcId") == machine.vpc_id:
                        in_groups[machine.instance_id].append(group["TargetGroupArn"])
        return {instance_id: tuple(sorted(groups)) for instance_id, groups in in_groups.items()}

    def _disks(self, machines: Sequence[Machine], roots: Mapping[str, str]) -> dict[str, tuple[Disk, ...]]:
        disks: dict[str, list[Disk]] = defaultdict(list)
        for machine in machines:
            wanted = [_only("attachment.instance-id", [machine.instance_id])]
            for page in self.ec2.get_paginator("describe_volumes").paginate(Filters=wanted):
                disks[machine.instance_id] += [
                    found.disk(volume, roots[machine.instance_id]) for volume in page["Volumes"]
                ]
        return {instance_id: tuple(volumes) for instance_id, volumes in disks.items()}

    def _images(self, wanted: set[str]) -> frozenset[str]:
        """Those that are still there: an image may be gone while its instances run on."""
        if not wanted:
            return frozenset()
        pages = self.ec2.get_paginator("describe_images").paginate(Filters=[_only("image-id", sorted(wanted))])
        return frozenset(image["ImageId"] for page in pages for image in page["Images"])

    def _networks(self, subnets: Sequence[str]) -> dict[str, str]:
        if not subnets:
            return {}
        pages = self.ec2.get_paginator("describe_subnets").paginate(SubnetIds=list(subnets))
        return {subnet["SubnetId"]: subnet["CidrBlock"] for page in pages for subnet in page["Subnets"]}

    def _taken(self, subnet_id: str) -> frozenset[str]:
        """Every private address in use in the subnet, by whatever service."""
        pages = self.ec2.get_paginator("describe_network_interfaces").paginate(
            Filters=[_only("subnet-id", [subnet_id])]
        )
        return frozenset(
            address
            for page in pages
            for interface in page["NetworkInterfaces"]
            for address in found.addresses_of(interface)
        )

    def _ssh_from(self, machines: Iterable[Machine], groups: set[str]) -> tuple[str, ...]:
        """Where SSH to the new servers is to come from: the bastion; without one, the networks that the databases' groups let in."""
        bastions = [f"{machine.address}/32" for machine in machines if machine.role == BASTION]
        if bastions or not groups:
            return tuple(bastions)
        networks = set()
        for page in self.ec2.get_paginator("describe_security_groups").paginate(GroupIds=sorted(groups)):
            for rule in (rule for group in page["SecurityGroups"] for rule in group.get("IpPermissions", [])):
                everything = rule["IpProtocol"] == "-1"
                if everything or (
                    rule["IpProtocol"] == "tcp" and rule.get("FromPort", 0) <= SSH <= rule.get("ToPort", 0)
                ):
                    networks |= {each["CidrIp"] for each in rule.get("IpRanges", [])}
        return tuple(sorted(networks - {"0.0.0.0/0"}))


def _only(name: str, values: list[str]) -> FilterTypeDef:
    return {"Name": name, "Values": values}


def _state(instance: InstanceTypeDef) -> str:
    return instance["State"]["Name"]


def _called(instance: InstanceTypeDef) -> str:
    name = found.tags_of(instance).get("Name")
    return f"{instance['InstanceId']} ({shown(name)})" if name else instance["InstanceId"]


def _with_names_of_their_own(machines: Iterable[Machine]) -> list[Machine]:
    """By role and address. Servers of one autoscaling group have one Name: those get their instance id behind it."""
    listed = sorted(machines, key=lambda machine: (ROLES.index(machine.role), ipaddress.ip_address(machine.address)))
    count = Counter(machine.name for machine in listed)
    return [
        replace(machine, name=f"{machine.name[:40]}-{machine.instance_id}") if count[machine.name] > 1 else machine
        for machine in listed
    ]
