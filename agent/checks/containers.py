"""Containers on a server of the application: each has a hosts file of its own, which does not move with the server's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side, Unseen
from agent.checks.sight import Sight
from agent.checks.wording import few
from agent.hosts_file import HOSTS

DOCKER = "/var/lib/docker/containers"
# Where others keep a container's hosts file: podman as root, and as a user; Kubernetes.
OTHERS = {
    "podman": (
        "/run/containers/storage/overlay-containers",
        "/var/lib/containers/storage/overlay-containers",
        "*/userdata/hosts",
    ),
    "podman of a user": ("/run/user", "*/containers/overlay-containers/*/userdata/hosts"),
    "kubelet": ("/var/lib/kubelet/pods", "*/etc-hosts"),
}
ENGINES = ("docker", "podman", "containerd", "k3s", "kubelet", "crio", "lxd")


class Container(NamedTuple):
    """`name` says whose it is and what it is called; `mounts` is whether it has the server's own hosts file inside."""

    name: str
    hosts: str
    mounts: bool


def _containers(sight: Sight) -> List[str]:
    there = [*_of_docker(sight), *_of_others(sight)]
    names = {name.lower() for name in sight.desired["names"]}
    found, without = [], []
    for one in there:
        inside = sorted({word for line in one.hosts.splitlines() for word in _words(line)} & names)
        if one.mounts:
            found.append(f"{one.name} has the server's {HOSTS} mounted: it sees the old one until it is started again")
        elif inside:
            found.append(f"{one.name} has {', '.join(inside)} in a hosts file of its own")
        else:
            without.append(one.name)
    if without:
        listed = ", ".join(without[:5]) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
        found.append(
            f"{listed}: their own hosts files have none of the names; if they use the databases, they find them otherwise"
        )
    if not there:
        states = sight.program("systemctl", "is-active", *ENGINES).stdout.split()
        running = [engine for engine, state in zip(ENGINES, states) if state == "active"]
        if set(running) - {"docker", "containerd"}:
            raise Unseen(
                f"{', '.join(running)} runs; the hosts files of its containers, if it has any, are not where others keep them"
            )
    return few(found)


def _words(line: str) -> List[str]:
    return line.partition("#")[0].lower().split()[1:]


def _of_docker(sight: Sight) -> Iterator[Container]:
    folder = sight.server.path(DOCKER)
    for each in sorted(folder.iterdir()) if folder.is_dir() else []:
        config = _json(each / "config.v2.json")
        if not config.get("State", {}).get("Running", True) or not each.is_dir():
            continue
        name = str(config.get("Name", each.name[:12])).lstrip("/")
        mounts = HOSTS in {point.get("Source") for point in (config.get("MountPoints") or {}).values()}
        yield Container(f"the container {name} (docker)", _text(each / "hosts"), mounts)


def _of_others(sight: Sight) -> Iterator[Container]:
    for engine, (*folders, pattern) in OTHERS.items():
        for folder in folders:
            for file in sorted(sight.server.path(folder).glob(pattern)):
                # .../<container>/userdata/hosts, .../<pod>/etc-hosts
                one = file.parent.parent if file.parent.name == "userdata" else file.parent
                yield Container(f"the container {one.name[:12]} ({engine})", _text(file), mounts=False)


def _json(file: Path) -> Dict[str, Any]:
    try:
        found: Dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.is_file() else ""


CHECKS = (
    Check(
        name=CheckName.CONTAINERS,
        severity=Severity.WARN,
        sides=(Side.SERVER,),
        why="a container goes on using the databases that its own hosts file names, whatever the server's says",
        do="have the server's reload (pgleap:servers) start them anew once its names have moved: docker writes a container's hosts file when"
        " it starts, with --network host from the server's, else from --add-host, which must name the new address",
        look=_containers,
    ),
)
