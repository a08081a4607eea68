"""Removes every trace of a lab, also of one that crashed or never came up whole: what is found counts, not records.

Only what this lab started is ended; another checkout's lab is not touched.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from rehearsal.lab import control_groups, network, processes
from rehearsal.lab.place import LabError, Place, call


def down(place: Place, network_down: Callable[[Place], list[str]] = network.down) -> list[str]:
    """Remove this lab's processes, mounts, control groups, network and folder. What was removed, in words.

    `network_down` takes the network down, where it is another than the lab's. Doing it again does no harm. Raises LabError when something
    will not go; nothing is deleted below a mount.
    """
    removed = []
    # Whoever starts things first, or new ones could come while the old ones go.
    on_machine = processes.started(place)
    processes.end(on_machine)
    on_hosts = control_groups.processes(place)
    processes.end(on_hosts)
    if ended := len({*on_machine, *on_hosts}):
        removed.append(f"{ended} processes")
    control_groups.remove(place)
    if mounts := mounts_below(place):
        for mount in mounts:
            call("umount", "--lazy", mount)
        removed.append(f"{len(mounts)} mounts")
    removed += network_down(place)
    if left := mounts_below(place):
        raise LabError(f"Expected no mounts left below {place.root}, found {left[0]}: unmount it and try again.")
    if place.root.exists():
        shutil.rmtree(place.root)
        removed.append(f"the folder {place.root}")
    return removed


def mounts_below(place: Place) -> list[Path]:
    """What is mounted below the lab's folder, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    # proc(5): the fifth field is where; a space in it is written \040.
    where = (Path(line.split()[4].encode().decode("unicode_escape")) for line in lines)
    return sorted((path for path in where if place.root in path.parents), reverse=True)
