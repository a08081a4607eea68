"""The light hosts' network: a bridge, and a namespace with one cable to it for each host.

Names and addresses are others than the lab's (rehearsal/lab/network.py), which may be up at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from rehearsal.lab.fleet import Server
from rehearsal.lab.place import LabError, Place, call

BRIDGE = "light0"
MACHINE = "10.78.254.1"
PREFIX_LENGTH = 16
_NAMESPACE = "light-"
_CABLE = "lgt-"


def address(number: int) -> str:
    """The address of the host with this number, from 0 on. Pure."""
    return f"10.78.{number // 200}.{number % 200 + 11}"


def namespace(server: Server) -> str:
    """The network namespace of a host."""
    return _NAMESPACE + server.name


def owner() -> str | None:
    """The folder of the light hosts that are up on this machine, or None."""
    return next((str(link.get("ifalias", "")) for link in _links() if link["ifname"] == BRIDGE), None)


def up(place: Place, servers: Sequence[Server]) -> None:
    """The bridge, and a namespace with its cable for each host. Raises LabError when there is such a bridge already."""
    if (found := owner()) is not None:
        raise LabError(
            f"Expected no bridge {BRIDGE}, found that of {found or 'an unknown owner'}: "
            "run `python -m rehearsal.bench.hosts_files --remove` in that checkout first."
        )
    _batch(
        [
            f"link add {BRIDGE} type bridge",
            f"link set {BRIDGE} alias {place.root}",
            f"address add {MACHINE}/{PREFIX_LENGTH} dev {BRIDGE}",
            f"link set {BRIDGE} addrgenmode none",
            f"link set {BRIDGE} up",
            *(f"netns add {namespace(server)}" for server in servers),
        ]
    )
    cables = [_CABLE + server.name for server in servers]
    _batch(
        [
            f"link add {cable} master {BRIDGE} type veth peer name eth0 netns {namespace(server)}"
            for cable, server in zip(cables, servers, strict=True)
        ]
    )
    # Without link-local addresses: each one that comes is made known to every other, 200 times 200 packets.
    _batch([f"link set {cable} addrgenmode none up" for cable in cables])
    for server in servers:
        inside = [
            "link set lo up",
            f"address add {server.address}/{PREFIX_LENGTH} dev eth0",
            "link set eth0 addrgenmode none up",
        ]
        _batch(inside, "-n", namespace(server))


def down(place: Place) -> list[str]:
    """Remove whatever of it is there, unless it belongs to another folder. What was removed, in words."""
    if owner() not in (None, str(place.root)):
        return []
    # The cables first: a namespace takes its end with it, and so the whole cable, but only a moment later.
    _batch([f"link del {link['ifname']}" for link in _links() if str(link["ifname"]).startswith(_CABLE)])
    listed = json.loads(call("ip", "-json", "netns", "list") or "[]")
    namespaces = [entry["name"] for entry in listed if entry["name"].startswith(_NAMESPACE)]
    _batch([f"netns delete {name}" for name in namespaces])
    removed = [f"{len(namespaces)} network namespaces"] if namespaces else []
    if owner() is not None:
        _batch([f"link del {BRIDGE}"])
        removed.append(f"the bridge {BRIDGE}")
    return removed


def _links() -> list[dict[str, object]]:
    links: list[dict[str, object]] = json.loads(call("ip", "-json", "-details", "link", "show"))
    return links


def _batch(commands: Sequence[str], *options: str) -> None:
    """One `ip` for many commands: a process each would take longer than all else together."""
    if commands:
        call("ip", *options, "-batch", "-", stdin="\n".join(commands) + "\n")
