"""The lab's network: a bridge on the machine, and one namespace with one cable to it for each server.

The bridge is made first and removed last, and bears the name of the lab that it belongs to: a machine has one lab.
"""

import hashlib
from collections.abc import Sequence

from rehearsal.lab.bridge import Bridge, batch, links
from rehearsal.lab.fleet import OPERATOR_ADDRESS, PREFIX_LENGTH, Server
from rehearsal.lab.place import LabError, Place

BRIDGE = Bridge("pgleap0", namespace="pgleap-", cable="pgl-")
_LONGEST_INTERFACE = 15  # IFNAMSIZ of netdevice(7), less the zero at its end


def namespace(server: Server) -> str:
    """The network namespace of a server."""
    return BRIDGE.namespace + server.name


def owner() -> str | None:
    """The root folder of the lab that is up on this machine, or None. Empty: a bridge whose owner is not known."""
    return BRIDGE.owner()


def claim(place: Place) -> None:
    """Make the bridge, and with it this machine's one lab ours. Raises LabError when a lab is up already."""
    found = owner()
    if found is not None and found != str(place.root):
        raise LabError(
            f"Expected no other lab on this machine, found the bridge {BRIDGE.name} of {found or 'an unknown owner'}: "
            "run `make lab-down` in that checkout first."
        )
    if found is None:
        batch([f"link add {BRIDGE.name} type bridge", f"link set {BRIDGE.name} alias {place.root}"])


def up(servers: Sequence[Server]) -> None:
    """Addresses, namespaces and cables. What is there already stays. Needs the bridge that `claim` makes."""
    there = set(BRIDGE.namespaces())
    cables = {str(link["ifname"]) for link in links()}
    missing = [server for server in servers if namespace(server) not in there or _cable(server) not in cables]
    batch(
        [
            f"address replace {OPERATOR_ADDRESS}/{PREFIX_LENGTH} dev {BRIDGE.name}",
            f"link set {BRIDGE.name} up",
            *(f"netns add {namespace(server)}" for server in missing if namespace(server) not in there),
            *(f"link del {_cable(server)}" for server in missing if _cable(server) in cables),
        ]
    )
    batch(
        [
            f"link add {_cable(server)} master {BRIDGE.name} type veth peer name eth0 netns {namespace(server)}"
            for server in missing
        ]
    )
    batch([f"link set {_cable(server)} up" for server in missing])
    for server in missing:
        inside = [
            "link set lo up",
            f"address replace {server.address}/{PREFIX_LENGTH} dev eth0",
            "link set eth0 up",
            f"route replace default via {OPERATOR_ADDRESS}",
        ]
        batch(inside, "-n", namespace(server))


def down(place: Place) -> list[str]:
    """Remove every trace, whatever of it is there; not when another lab is up. What was removed, in words."""
    return BRIDGE.down(place)


def _cable(server: Server) -> str:
    name = BRIDGE.cable + server.name
    return name if len(name) <= _LONGEST_INTERFACE else BRIDGE.cable + hashlib.sha256(name.encode()).hexdigest()[:11]
