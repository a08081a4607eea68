"""What no single value of the stack config can tell about the instances that the program makes. Pure, and tolerant as config_checks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from components.config_errors import config_path
from components.config_fields import shown

# What gp3 allows beside its bounds (AWS documentation, "General Purpose SSD volumes"): EC2 says so only once it makes the volume.
IOPS_PER_GIB = 500
IOPS_PER_MIB = 4
FREE_IOPS = 3000
FREE_THROUGHPUT = 125
# What pgleap:aws needs beside the region once the program makes instances.
SHARED = {
    "vpcId": "the VPC that the fleet is in",
    "sshFrom": "networks that SSH may come from, the operator's or the bastion's, such as [10.20.9.0/24]",
    "fleetGroups": "security groups whose servers may reach PostgreSQL, such as [sg-0123456789abcdef0]",
}
Raw = Mapping[str, Any]


def instance_checks(config: Raw, servers: Mapping[str, Raw]) -> Iterator[str]:
    """Every mistake between values of servers with `instance`, and `pgleap:aws`."""
    instances = {name: server for name, server in servers.items() if server.get("instance")}
    if instances and not config.get("aws"):
        yield (
            f"{config_path('aws')}: missing; {', '.join(instances)} ask for an instance, give at least"
            " {region, vpcId, sshFrom, fleetGroups}"
        )
    aws = config.get("aws")
    for key, what in SHARED.items():
        if instances and isinstance(aws, Mapping) and not aws.get(key):
            yield f"{config_path('aws', key)}: missing; {', '.join(instances)} ask for an instance, give {what}"
    for name, server in instances.items():
        yield from _address(name, server.get("address"))
        yield from _host_key(name, server.get("hostKey"))
        instance = server["instance"]
        volume = instance.get("volume") if isinstance(instance, Mapping) else None
        if isinstance(volume, Mapping):
            yield from _volume(name, volume)


def _address(name: str, address: object) -> Iterator[str]:
    try:
        version = ipaddress.ip_address(str(address)).version
    except ValueError:
        return
    if version != 4:
        yield f"{config_path('servers', name, 'address')}: {shown(address)} is not an IPv4 address; an instance is made with one"


def _host_key(name: str, host_key: object) -> Iterator[str]:
    """Also with acceptUnknownHostKeys: the server is given its key, so there is nothing to accept."""
    if not isinstance(host_key, str) or not host_key.startswith("ssh-ed25519 "):
        yield (
            f"{config_path('servers', name, 'hostKey')}: an instance is made with a key of type ssh-ed25519; "
            f"run `python -m scripts.host_key {name}`, which makes both halves"
        )


def _volume(name: str, volume: Raw) -> Iterator[str]:
    try:
        size = int(str(volume.get("size")))
        iops = int(str(volume.get("iops", FREE_IOPS)))
        throughput = int(str(volume.get("throughput", FREE_THROUGHPUT)))
    except ValueError:
        return
    path = ("servers", name, "instance", "volume")
    if iops > max(size * IOPS_PER_GIB, FREE_IOPS):
        yield f"{config_path(*path, 'iops')}: {iops} are more than {IOPS_PER_GIB} for each of its {size} GiB; give fewer, or a larger size"
    if throughput * IOPS_PER_MIB > iops:
        yield (
            f"{config_path(*path, 'throughput')}: {throughput} MiB/s need {throughput * IOPS_PER_MIB} iops, found {iops};"
            f" give more iops, {IOPS_PER_MIB} for each MiB/s"
        )
