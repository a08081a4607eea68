"""Containers on a server of the application: each has a hosts file of its own, which does not move with the server's."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side, Unseen
from agent.checks.sight import Sight
from agent.checks.wording import few, listed
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
# Connections of the network that a process is in (proc(5)).
FILES, ESTABLISHED = ("tcp", "tcp6"), "01"
ENGINES = ("docker", "podman", "containerd", "k3s", "kubelet", "crio", "lxd")


class Container(NamedTuple):
    """`name` says whose it is and what it is called; `mounts` is whether it has the server's own hosts file inside; `process` is one by which
    its own network can be seen, None if there is none."""

    name: str
    hosts: str
    mounts: bool
    process: Optional[int] = None


def _containers(sight: Sight) -> List[str]:
    there = [*_of_docker(sight), *_of_others(sight)]
    found, without = [], []
    for one in there:
        inside = _names(one, sight)
        if one.mounts:
            found.append(f"{one.name} has the server's {HOSTS} mounted: it sees the old one until it is started again")
        elif inside:
            found.append(f"{one.name} has {', '.join(inside)} in a hosts file of its own")
        elif _connected(one, sight):
            found.append(
                f"{one.name} uses the databases, and its own hosts file has none of the names: it finds them otherwise"
            )
        elif one.process is None:
            without.append(one.name)
    if without:
        found.append(
            f"{listed(without)}: their own hosts files have none of the names; if they use the databases, they find them otherwise"
        )
    if not there:
        states = sight.program("systemctl", "is-active", *ENGINES).stdout.split()
        running = [engine for engine, state in zip(ENGINES, states) if state == "active"]
        if set(running) - {"docker", "containerd"}:
            raise Unseen(
                f"{', '.join(running)} runs; the hosts files of its containers, if it has any, are not where others keep them"
            )
    return few(found)


def _apart(sight: Sight) -> List[str]:
    quiet = [
        one.name
        for one in _of_docker(sight)
        if not one.mounts and not _names(one, sight) and one.process is not None and not _connected(one, sight)
    ]
    return (
        [f"{listed(quiet)}: none of the names in their hosts files, and no connection to a database now"]
        if quiet
        else []
    )


def _with_own_network(process: int, sight: Sight) -> Optional[int]:
    """The process, if its network can be seen, and is not the server's (--network host)."""
    theirs, ours = (sight.server.path(f"/proc/{number}/ns/net") for number in (process, "self"))
    if not any(sight.server.path(f"/proc/{process}/net/{name}").exists() for name in FILES):
        return None
    return None if theirs.exists() and ours.exists() and theirs.samefile(ours) else process


def _names(one: Container, sight: Sight) -> List[str]:
    """The databases' names in its hosts file."""
    names = {name.lower() for name in sight.desired["names"]}
    return sorted({word for line in one.hosts.splitlines() for word in _words(line)} & names)


def _connected(one: Container, sight: Sight) -> bool:
    """Whether something in its network has a connection to a database server now."""
    if one.process is None:
        return False
    port = int(sight.desired["postgres"]["port"])
    wanted = {f"{form}:{port:04X}" for address in sight.desired["databases"].values() for form in _forms(address)}
    files = (sight.server.path(f"/proc/{one.process}/net/{name}") for name in FILES)
    # Its remote address is the third field, its state the fourth (proc(5)).
    lines = [line.split() for file in files for line in _text(file).splitlines()]
    return any(len(line) > 3 and line[2] in wanted and line[3] == ESTABLISHED for line in lines)


def _forms(address: str) -> Iterator[str]:
    """An address as /proc/net/tcp and tcp6 write it: words of 32 bits, each in the machine's order."""
    packed = ipaddress.ip_address(address).packed
    words = "".join(packed[at : at + 4][::-1].hex() for at in range(0, len(packed), 4)).upper()
    yield words
    if len(packed) == 4:
        yield f"0000000000000000FFFF0000{words}"


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
        process = _with_own_network(config.get("State", {}).get("Pid") or 0, sight)
        yield Container(f"the container {name} (docker)", _text(each / "hosts"), mounts, process)


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
    Check(
        name=CheckName.CONTAINERS_APART,
        severity=Severity.NOTE,
        sides=(Side.SERVER,),
        why="a container that uses the databases at times, and finds them otherwise than by a hosts file, does not move with the names",
        do="see that none of them does: what watches the server, or ships its logs, mostly does not",
        look=_apart,
    ),
)
