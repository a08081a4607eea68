"""Limits of the machine that two hundred hosts on one bridge run into: raised while they are up, then as they were.

Others were looked at and left: sshd's MaxStartups counts for each host, which has one login under way at a time; inotify's are for
systemd, which these hosts do without.
"""

from __future__ import annotations

import json
import resource
from pathlib import Path

from rehearsal.lab.place import Place

# One neighbour table for all namespaces: two entries for each host, those of the lab's beside them. Past the second threshold entries are
# thrown out after five seconds, past the third no packet finds its way.
_NEIGHBOURS = {
    "net/ipv4/neigh/default/gc_thresh1": 4096,
    "net/ipv4/neigh/default/gc_thresh2": 8192,
    "net/ipv4/neigh/default/gc_thresh3": 16384,
}
_KEPT = "limits.json"
_FILES = 8192


def raise_(place: Place) -> None:
    """Raise what is too low, and write down what it was. Open files: who runs two hundred `ssh` holds three pipes for each, and many
    machines begin with 1024; the tools inherit this process's limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard), hard))
    before = {name: int((Path("/proc/sys") / name).read_text()) for name in _NEIGHBOURS}
    (place.root / _KEPT).write_text(json.dumps(before))
    _set({name: max(wanted, before[name]) for name, wanted in _NEIGHBOURS.items()})


def put_back(place: Place) -> None:
    """As they were before `raise_`, also in a process that died since; nothing is done if it never ran."""
    kept = place.root / _KEPT
    if kept.exists():
        _set(json.loads(kept.read_text()))
        kept.unlink()


def _set(values: dict[str, int]) -> None:
    for name, value in values.items():
        (Path("/proc/sys") / name).write_text(f"{value}\n")
