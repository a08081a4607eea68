"""A bridge with a network namespace and a cable for each server, known by the beginnings of their names, so that they go as found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rehearsal.lab.place import Place, call


@dataclass(frozen=True)
class Bridge:
    """`name` is its interface's, whose alias is its owner's folder. `namespace` and `cable` begin the names of what belongs to it."""

    name: str
    namespace: str
    cable: str

    def owner(self) -> str | None:
        """The folder of those who have it up on this machine, or None. Empty: a bridge whose owner is not known."""
        return next((str(link.get("ifalias", "")) for link in links() if link["ifname"] == self.name), None)

    def namespaces(self) -> list[str]:
        """Those that are there."""
        listed = json.loads(call("ip", "-json", "netns", "list") or "[]")
        return [entry["name"] for entry in listed if entry["name"].startswith(self.namespace)]

    def down(self, place: Place) -> list[str]:
        """Remove every trace, whatever of it is there; not when it is another folder's. What was removed, in words."""
        if self.owner() not in (None, str(place.root)):
            return []
        # The cables first: a namespace takes its end with it, and so the whole cable, but only a moment later.
        batch([f"link del {link['ifname']}" for link in links() if str(link["ifname"]).startswith(self.cable)])
        namespaces = self.namespaces()
        batch([f"netns delete {name}" for name in namespaces])
        removed = [f"{len(namespaces)} network namespaces"] if namespaces else []
        if self.owner() is not None:
            batch([f"link del {self.name}"])
            removed.append(f"the bridge {self.name}")
        return removed


def links() -> list[dict[str, object]]:
    """Every interface of this machine, as `ip` tells it."""
    found: list[dict[str, object]] = json.loads(call("ip", "-json", "-details", "link", "show"))
    return found


def batch(commands: Sequence[str], *options: str) -> None:
    """One `ip` for many commands: a process each would take longer than all else together."""
    if commands:
        call("ip", *options, "-batch", "-", stdin="\n".join(commands) + "\n")
