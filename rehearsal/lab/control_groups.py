"""A control group for each host: without one of their own, the hosts' systemds would share, and end each other's units.

Works where the machine has version 1 hierarchies and a unified one beside them, and where it has the unified one alone.
"""

import hashlib
import os
import time
from pathlib import Path

from rehearsal.lab.place import LabError, Place

_REMOVE_SECONDS = 5.0


def make(place: Place, name: str) -> list[Path]:
    """The host's group in each hierarchy that systemd keeps track of its processes by; made if it is not there."""
    groups = [hierarchy / _top(place) / name for hierarchy in _hierarchies()]
    if not groups:
        raise LabError("Expected control groups below /sys/fs/cgroup, found none mounted: mount cgroup2 there.")
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    return groups


def processes(place: Place, name: str | None = None) -> list[int]:
    """The pids of everything on one host, or on all of them: whatever was started there, and nothing else."""
    found: set[int] = set()
    for hierarchy in _hierarchies():
        top = hierarchy / _top(place)
        for group, _, _ in os.walk(top / name if name else top):  # unlike rglob it bears groups that go meanwhile
            try:
                found.update(int(pid) for pid in (Path(group) / "cgroup.procs").read_text().split())
            except OSError:  # it went while we were looking
                continue
    return sorted(found - {0})


def remove(place: Place) -> None:
    """Remove the groups of all hosts. Their processes must have ended."""
    for hierarchy in _hierarchies():
        top = hierarchy / _top(place)
        if top.is_dir():
            deepest_first = sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True)
            for group in (*deepest_first, top):
                _remove_one(group)


def _remove_one(group: Path) -> None:
    """A group is busy for a moment after its last process has ended."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            group.rmdir()
        except OSError as busy:
            if time.monotonic() > deadline:
                raise LabError(f"Expected the control group {group} to be empty: {busy}. Try again.") from busy
            time.sleep(0.02)
        else:
            return


def _top(place: Place) -> str:
    return f"pgleap-{hashlib.sha256(str(place.root).encode()).hexdigest()[:12]}"


def _hierarchies() -> list[Path]:
    """Where the unified hierarchy and systemd's own of version 1 are mounted, as far as they are."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [
        Path(where)
        for _, where, kind, options, *_ in mounts
        if where.startswith("/sys/fs/cgroup")
        and (kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")))
    ]
