"""The lab's network: a bridge on the machine, and one namespace with one cable to it for each server.

The bridge is made first and removed last, and bears the name of the lab that it belongs to: a machine has one lab.
"""

import hashlib
import json
from collections.abc import Sequence

from rehearsal.lab.fleet import OPERATOR_ADDRESS, PREFIX_LENGTH, Server
from rehearsal.lab.place import LabError, Place, call

BRIDGE = "pgleap0"
_NAMESPACE = "pgleap-"
_CABLE = "pgl-"
_LONGEST_INTERFACE = 15  # IFNAMSIZ of netdevice(7), less the zero at its end


def namespace(server: Server) -> str:
    """The network namespace of a server."""
    return _NAMESPACE + server.name


def owner() -> str | None:
    """The root folder of the lab that is up on this machine, or None. Empty: a bridge whose owner is not known."""
    for link in _links():
        if link["ifname"] == BRIDGE:
            return str(link.get("ifalias", ""))
    return None


def claim(place: Place) -> None:
    """Make the bridge, and with it this machine's one lab ours. Raises LabError when a lab is up already."""
    found = owner()
    if found is not None and found != str(place.root):
        raise LabError(
            f"Expected no other lab on this machine, found the bridge {BRIDGE} of {found or 'an unknown owner'}: "
            "run `make lab-down` in that checkout first."
        )
    if found is None:
        _batch([f"link add {BRIDGE} type bridge", f"link set {BRIDGE} alias {place.root}"])


def up(servers: Sequence[Server]) -> None:
    """Addresses, namespaces and cables. What is there already stays. Needs the bridge that `claim` makes."""
    there = set(_namespaces())
    cables = {str(link["ifname"]) for link in _links()}
    missing = [server for server in servers if namespace(server) not in there or _cable(server) not in cables]
    _batch(
        [
            f"address replace {OPERATOR_ADDRESS}/{PREFIX_LENGTH} dev {BRIDGE}",
            f"link set {BRIDGE} up",
            *(f"netns add {namespace(server)}" for server in missing if namespace(server) not in there),
            *(f"link del {_cable(server)}" for server in missing if _cable(server) in cables),
        ]
    )
    _batch(
        [
            f"link add {_cable(server)} master {BRIDGE} type veth peer name eth0 netns {namespace(server)}"
            for server in missing
        ]
    )
    _batch([f"link set {_cable(server)} up" for server in missing])
    for server in missing:
        inside = [
            "link set lo up",
            f"address replace {server.address}/{PREFIX_LENGTH} dev eth0",
            "link set eth0 up",
            f"route replace default via {OPERATOR_ADDRESS}",
        ]
        _batch(inside, "-n", namespace(server))


def down(place: Place) -> list[str]:
    """Remove every trace, whatever of it is there; not when another lab is up. What was removed, in words."""
    if owner() not in (None, str(place.root)):
        return []
    # The cables first: a namespace takes its end with it, and so the whole cable, but only a moment later.
    _batch([f"link del {link['ifname']}" for link in _links() if str(link["ifname"]).startswith(_CABLE)])
    namespaces = _namespaces()
    _batch([f"netns delete {name}" for name in namespaces])
    removed = [f"{len(namespaces)} network namespaces"] if namespaces else []
    if owner() is not None:
        _batch([f"link del {BRIDGE}"])
        removed.append(f"the bridge {BRIDGE}")
    return removed


def _cable(server: Server) -> str:
    name = _CABLE + server.name
    return name if len(name) <= _LONGEST_INTERFACE else _CABLE + hashlib.sha256(name.encode()).hexdigest()[:11]


def _namespaces() -> list[str]:
    listed = json.loads(call("ip", "-json", "netns", "list") or "[]")
    return [entry["name"] for entry in listed if entry["name"].startswith(_NAMESPACE)]


def _links() -> list[dict[str, object]]:
    links: list[dict[str, object]] = json.loads(call("ip", "-json", "-details", "link", "show"))
    return links


def _batch(commands: Sequence[str], *options: str) -> None:
    """One `ip` for many commands: a process each would take longer than all else together."""
    if commands:
        call("ip", *options, "-batch", "-", stdin="\n".join(commands) + "\n")
