"""Light hosts: an sshd each, in a root, a network and a process tree of its own; no systemd. Two hundred of them come up in seconds.

Roots are overlays of the servers' image, as the lab's are, but written to in memory: two hundred servers do not share one disk, and here
each `fsync` of one would wait for those of all others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rehearsal.bench.hosts_files import limits, network
from rehearsal.lab import control_groups, image, keys, packages, processes
from rehearsal.lab.down import down as take_down
from rehearsal.lab.fleet import NAMES, READS_FROM, Fleet, Server
from rehearsal.lab.hosts import Host
from rehearsal.lab.place import REPOSITORY, LabError, Place, Report, call

FOLDER = REPOSITORY / ".cache" / "hosts-files"
# Nobody is there: the names of databases only lead to these.
DATABASES = (
    Server("db1", "primary", "10.78.255.1"),
    Server("db2", "replica", "10.78.255.2"),
    Server("db3", "replica", "10.78.255.3"),
    Server("db-a", "target", "10.78.255.4"),
)
_GROUP = "hosts"
_LISTENS = "Server listening on 0.0.0.0 port 22."
_START_SECONDS = 60.0


def fleet(hosts: int) -> Fleet:
    """So many hosts, all of them drained but one, without which no stack is valid, and the databases whose names they hold. Pure."""
    clients = (
        Server(f"web{number:03d}", "drained" if number else "online", network.address(number))
        for number in range(hosts)
    )
    return Fleet((*DATABASES, *clients), dict(NAMES), READS_FROM)


@dataclass(frozen=True)
class Light:
    """The hosts that are up in `place`."""

    place: Place
    fleet: Fleet

    @property
    def servers(self) -> Sequence[Server]:
        return self.fleet.clients

    def file(self, server: Server) -> Path:
        """A host's /etc/hosts, from outside."""
        return Host(self.place, server, self.fleet).root / "etc" / "hosts"

    def cpu_seconds(self) -> float:
        """What the processes on all hosts have had of the processors until now."""
        for group in control_groups.make(self.place, _GROUP):
            if (told := group / "cpu.stat").exists():
                return int(told.read_text().split()[1]) / 1e6  # its first line: usage_usec
        raise LabError(
            "Expected cpu.stat in a control group of version 2, found none: mount cgroup2 below /sys/fs/cgroup."
        )


def machine_seconds() -> float:
    """What all processes of this machine, those on the hosts included, have had of its processors until now: proc(5), /proc/stat."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = (int(ticks) for ticks in words[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


@contextmanager
def booted(hosts: int, report: Report, place: Place | None = None) -> Iterator[Light]:
    """So many hosts, up while the block runs. Raises LabError. What an earlier run has left is taken away first."""
    reason = packages.why_not()
    if reason is not None:
        raise LabError(reason)
    place = place or Place(FOLDER)
    if left := down(place):
        report(f"Took away what an earlier run left: {', '.join(left)}")
    try:
        yield _up(place, fleet(hosts), report)
    finally:
        report(f"Took away {', '.join(down(place))}")


def down(place: Place) -> list[str]:
    """Remove every trace, also of hosts that never came up whole. What was removed, in words. Raises LabError."""
    return take_down(place, _network_down)


def _network_down(place: Place) -> list[str]:
    removed = network.down(place)
    limits.put_back(place)
    return removed


def _up(place: Place, wanted: Fleet, report: Report) -> Light:
    packages.install(report)
    root = image.ensure(report)
    place.root.mkdir(parents=True)
    place.hosts.mkdir()
    place.image.symlink_to(root)
    limits.raise_(place)
    network.up(place, wanted.clients)
    keys.generate(place, wanted.servers)
    keys.start_agent(place)
    report(f"Network and keys for {len(wanted.clients)} hosts are there")
    call("mount", "-t", "tmpfs", "-o", "mode=0755", "pgleap-light-hosts", place.hosts)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda server: _start(place, server, wanted), wanted.clients))
    deadline = time.monotonic() + _START_SECONDS
    for server in wanted.clients:
        log = place.logs / f"{_process(server)}.log"
        while _LISTENS not in log.read_text():
            if time.monotonic() > deadline:
                raise LabError(f"Expected an sshd on {server.name} within {_START_SECONDS:.0f} s: see {log}.")
            time.sleep(0.02)
    report(f"{len(wanted.clients)} hosts are up")
    return Light(place, wanted)


def _start(place: Place, server: Server, wanted: Fleet) -> None:
    host = Host(place, server, wanted)
    host.mount()
    (host.root / "run" / "sshd").mkdir(mode=0o755)
    groups = control_groups.make(place, _GROUP)
    enter = "".join(f"echo $$ > '{group}/cgroup.procs'; " for group in groups)
    sshd = [
        *("nsenter", f"--net=/run/netns/{network.namespace(server)}"),
        # Its process 1: with it everything on the host ends.
        *("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", f"--root={host.root}", "--mount-proc"),
        *("sh", "-ec", 'hostname "$0"; exec /usr/sbin/sshd -D -e -o AddressFamily=inet', server.name),
    ]
    processes.start(place, _process(server), ["sh", "-ec", f'{enter}exec "$@"', "sh", *sshd])


def _process(server: Server) -> str:
    return f"host-{server.name}"
