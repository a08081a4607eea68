"""What EC2 says of a fleet, in the words of this project. Pure: cloud.py asks for it, config.py makes a stack's config of it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from components.config_errors import config_path
from components.config_fields import HOST_KEY_TYPES, HostKey
from components.settings import Role

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import InstanceTypeDef, NetworkInterfaceTypeDef, VolumeTypeDef

BASTION = "bastion"
ROLES = (*(role.value for role in Role), BASTION)
DATABASES = (Role.PRIMARY, Role.REPLICA)
CLIENTS = (Role.ONLINE, Role.DRAINED, Role.WORKER)
# cloud-init's write-ssh-key-fingerprints prints the keys between these, on the first boot of an instance.
KEYS = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
KEY = re.compile(rf"({'|'.join(HOST_KEY_TYPES)}) +([A-Za-z0-9+/]+=*)")


@dataclass(frozen=True)
class Disk:
    """An attached EBS volume. `size` in GiB, `iops` per second, `throughput` in MiB/s; 0 where EC2 does not say."""

    size: int
    iops: int
    throughput: int
    root: bool
    kms_key_id: str | None


@dataclass(frozen=True)
class Machine:
    """A running instance that has a role. `tags` are those with the prefix, without it; `groups` security groups, id: name."""

    instance_id: str
    name: str
    role: str
    tags: Mapping[str, str]
    address: str
    public_address: str | None
    zone: str
    vpc_id: str
    subnet_id: str
    groups: Mapping[str, str]
    type: str
    image: str
    key_name: str | None
    profile: str | None

    def listed(self, tag: str) -> tuple[str, ...]:
        """The words of a tag that holds several, by commas or spaces."""
        return tuple(word for word in re.split(r"[,\s]+", self.tags.get(tag, "")) if word)


@dataclass(frozen=True)
class Found:
    """Everything that was read. The maps go by instance id, `networks` and `taken` by subnet id.

    `skipped` says which instances with a role do not run, `mistyped` whose role is none: that one belongs to the fleet.
    """

    region: str
    prefix: str
    machines: tuple[Machine, ...]
    skipped: tuple[str, ...] = ()
    mistyped: tuple[str, ...] = ()
    host_keys: Mapping[str, str] = field(default_factory=dict)
    target_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    disks: Mapping[str, tuple[Disk, ...]] = field(default_factory=dict)
    images: frozenset[str] = frozenset()
    networks: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, frozenset[str]] = field(default_factory=dict)
    ssh_from: tuple[str, ...] = ()

    def with_role(self, *roles: str) -> tuple[Machine, ...]:
        return tuple(machine for machine in self.machines if machine.role in roles)

    @property
    def database_names(self) -> dict[str, tuple[str, ...]]:
        """Every database name, and the servers whose tags say that it leads there; it should be one."""
        owners: dict[str, tuple[str, ...]] = {}
        for database in self.with_role(*DATABASES):
            for name in database.listed("database-names"):
                owners[name] = (*owners.get(name, ()), database.name)
        return owners

    @property
    def unclear(self) -> tuple[str, ...]:
        """What only a person can tell, and no check of the config would miss."""
        shared = (
            f"{config_path('names', name)}: the tags of {' and '.join(owners)} have it; give it to the one that it leads to"
            for name, owners in self.database_names.items()
            if len(owners) > 1
        )
        return (*self.mistyped, *shared)


def machine(instance: InstanceTypeDef, prefix: str) -> Machine:
    """One instance of DescribeInstances, whose role is known."""
    all_tags = tags_of(instance)
    ours = {key.removeprefix(prefix): value for key, value in all_tags.items() if key.startswith(prefix)}
    profile = instance.get("IamInstanceProfile", {}).get("Arn")
    return Machine(
        instance_id=instance["InstanceId"],
        name=server_name(ours.get("name") or all_tags.get("Name", "")) or instance["InstanceId"],
        role=ours["role"],
        tags=ours,
        address=instance["PrivateIpAddress"],
        public_address=instance.get("PublicIpAddress"),
        zone=instance["Placement"]["AvailabilityZone"],
        vpc_id=instance["VpcId"],
        subnet_id=instance["SubnetId"],
        groups={group["GroupId"]: group.get("GroupName", "") for group in instance.get("SecurityGroups", [])},
        type=instance["InstanceType"],
        image=instance["ImageId"],
        key_name=instance.get("KeyName"),
        profile=profile.rpartition("/")[2] if profile else None,
    )


def tags_of(instance: InstanceTypeDef) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def server_name(text: str) -> str:
    """A server's name made of a Name tag: small letters, digits and hyphens; empty if none of them is in it."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")


def host_key_in(console: str) -> str | None:
    """The host key in an instance's console output, ed25519 before others; None if there is none whole that serves (components.config_fields).
    The last boot's counts.

    The kernel may write into the middle of a line: what is not a key to the last byte is passed over.
    """
    blocks = KEYS.findall(console)
    keys = [f"{kind} {blob}" for kind, blob in KEY.findall(blocks[-1])] if blocks else []
    whole = [key for key in keys if _is_host_key(key)]
    return min(whole, key=lambda key: HOST_KEY_TYPES.index(key.split()[0]), default=None)


def _is_host_key(text: str) -> bool:
    try:
        TypeAdapter(HostKey).validate_python(text)
    except ValidationError:
        return False
    return True


def disk(volume: VolumeTypeDef, root_device: str) -> Disk:
    """One volume of DescribeVolumes, attached to the instance whose root device is named."""
    return Disk(
        size=volume["Size"],
        iops=volume.get("Iops", 0),
        throughput=volume.get("Throughput", 0),
        root=any(attachment.get("Device") == root_device for attachment in volume["Attachments"]),
        kms_key_id=volume.get("KmsKeyId"),
    )


def addresses_of(interface: NetworkInterfaceTypeDef) -> Iterator[str]:
    """Every private IPv4 address that a network interface holds, those of prefixes that it was given among them."""
    for address in interface.get("PrivateIpAddresses", []):
        yield address["PrivateIpAddress"]
    for prefix in interface.get("Ipv4Prefixes", []):
        yield from map(str, ipaddress.ip_network(prefix["Ipv4Prefix"]))
