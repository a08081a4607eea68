"""Servers that are not there yet: what they could be, by what the server is whose place they take. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from scripts.discover.found import Disk, Found, Machine
from scripts.discover.lines import Line, Unknown

# Of each subnet AWS keeps the first four addresses and the last one (VPC user guide, "Subnet CIDR blocks").
KEPT_AT_THE_START, KEPT_AT_THE_END = 4, 1
# What gp3 has without paying more, and as much as it can have (AWS documentation, "General Purpose SSD volumes").
LEAST_IOPS, MOST_IOPS, MOST_IOPS_PER_GIB = 3000, 80000, 500
LEAST_THROUGHPUT, MOST_THROUGHPUT = 125, 2000


def free_address(network: str, behind: str, taken: frozenset[str]) -> str | None:
    """The first free address of a subnet behind another one's, beginning anew at its end; None if it is full."""
    subnet, start = ipaddress.IPv4Network(network), int(ipaddress.IPv4Address(behind))
    first = int(subnet.network_address) + KEPT_AT_THE_START
    last = int(subnet.broadcast_address) - KEPT_AT_THE_END
    candidates = (str(ipaddress.IPv4Address(number)) for number in (*range(start + 1, last + 1), *range(first, start)))
    return next((address for address in candidates if address not in taken), None)


def instance(found: Found, like: Machine, disks: tuple[Disk, ...], size: int) -> Line:
    """The `instance` of a server that is to be as `like`, with room for `size` GiB of data."""
    return Line("instance", tuple(_instance(found, like, disks, size)))


def _instance(found: Found, like: Machine, disks: tuple[Disk, ...], size: int) -> Iterator[Line]:
    yield Line("type", like.type)
    if like.image in found.images:
        yield Line("ami", like.image, f"{like.name}'s own.")
    else:
        yield Line("ami", Unknown("ami-..."), f"{like.name}'s own, {like.image}, is gone. Give one that is there.")
    yield Line("subnetId", like.subnet_id)
    if like.key_name:
        yield Line("keyName", like.key_name)
    if like.profile:
        yield Line("profile", like.profile)
    yield Line("volume", tuple(_volume(disks, size)))


def data_disks(disks: tuple[Disk, ...]) -> tuple[Disk, ...]:
    """All but the root volume, the largest first; the root volume if there is no other."""
    others = [disk for disk in disks if not disk.root] or list(disks)
    return tuple(sorted(others, key=lambda disk: disk.size, reverse=True))


def _volume(disks: tuple[Disk, ...], size: int) -> Iterator[Line]:
    if not size:
        why = "The primary has no EBS volume (instance store?). Give no less than its data needs, in GiB."
        yield Line("size", Unknown("500"), why)
        return
    data = data_disks(disks)
    sizes = " + ".join(str(disk.size) for disk in data)
    several = f"There are several data volumes ({sizes} GiB): if the data is on more than one, give their sum."
    yield Line("size", size, several if len(data) > 1 else "")
    if data and data[0].iops > LEAST_IOPS:
        yield Line("iops", min(data[0].iops, MOST_IOPS, size * MOST_IOPS_PER_GIB))
    if data and data[0].throughput > LEAST_THROUGHPUT:
        yield Line("throughput", min(data[0].throughput, MOST_THROUGHPUT))
    if data and data[0].kms_key_id:
        yield Line("kmsKeyId", data[0].kms_key_id)
