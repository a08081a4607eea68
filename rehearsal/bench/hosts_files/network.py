"""The light hosts' network: a bridge, and a namespace with one cable to it for each host.

Names and addresses are others than the lab's (rehearsal/lab/network.py), which may be up at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence

from rehearsal.lab.bridge import Bridge, batch
from rehearsal.lab.fleet import Server
from rehearsal.lab.place import LabError, Place

BRIDGE = Bridge("light0", namespace="light-", cable="lgt-")
MACHINE = "10.78.254.1"
PREFIX_LENGTH = 16


def address(number: int) -> str:
    """The address of the host with this number, from 0 on. Pure."""
    return f"10.78.{number // 200}.{number % 200 + 11}"


def namespace(server: Server) -> str:
    """The network namespace of a host."""
    return BRIDGE.namespace + server.name


def owner() -> str | None:
    """The folder of the light hosts that are up on this machine, or None."""
    return BRIDGE.owner()


def up(place: Place, servers: Sequence[Server]) -> None:
    """The bridge, and a namespace with its cable for each host. Raises LabError when there is such a bridge already."""
    if (found := owner()) is not None:
        raise LabError(
            f"Expected no bridge {BRIDGE.name}, found that of {found or 'an unknown owner'}: "
            "run `python -m rehearsal.bench.hosts_files --remove` in that checkout first."
        )
    batch(
        [
            f"link add {BRIDGE.name} type bridge",
            f"link set {BRIDGE.name} alias {place.root}",
            f"address add {MACHINE}/{PREFIX_LENGTH} dev {BRIDGE.name}",
            f"link set {BRIDGE.name} addrgenmode none",
            f"link set {BRIDGE.name} up",
            *(f"netns add {namespace(server)}" for server in servers),
        ]
    )
    cables = [BRIDGE.cable + server.name for server in servers]
    batch(
        [
            f"link add {cable} master {BRIDGE.name} type veth peer name eth0 netns {namespace(server)}"
            for cable, server in zip(cables, servers, strict=True)
        ]
    )
    # Without link-local addresses: each one that comes is made known to every other, 200 times 200 packets.
    batch([f"link set {cable} addrgenmode none up" for cable in cables])
    for server in servers:
        inside = [
            "link set lo up",
            f"address add {server.address}/{PREFIX_LENGTH} dev eth0",
            "link set eth0 addrgenmode none up",
        ]
        batch(inside, "-n", namespace(server))


def down(place: Place) -> list[str]:
    """Remove whatever of it is there, unless it belongs to another folder. What was removed, in words."""
    return BRIDGE.down(place)
