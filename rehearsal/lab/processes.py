"""The processes that the lab starts on the machine: recorded, and found again also when nothing was recorded.

Every one of them carries the lab's root in a variable of its environment, and hands it on to what it starts itself.
What runs on the lab's hosts does not: a host's control group holds all of that.
"""

import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rehearsal.lab.place import LabError, Place

_MARK = "PGLEAP_STARTED_BY_LAB"
_DEADLINE_SECONDS = 30.0


def start(
    place: Place,
    name: str,
    argv: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    folder: Path = Path("/"),
) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one; its output goes to logs/<name>.log, its pid to processes/<name>."""
    place.logs.mkdir(parents=True, exist_ok=True)
    place.processes.mkdir(parents=True, exist_ok=True)
    with (place.logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder,
            env={**os.environ, **(environment or {}), **mark(place)},
        )
    (place.processes / name).write_text(f"{process.pid}\n")
    return process


def mark(place: Place) -> dict[str, str]:
    """The variable that `started` knows the lab's processes by, for whoever starts one by other means."""
    return {_MARK: str(place.root)}


def running(place: Place, name: str) -> int | None:
    """The pid of the process started under that name if it still runs, else None."""
    try:
        pid = int((place.processes / name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if _is_ours(place, pid) else None


def started(place: Place) -> list[int]:
    """The pids of all processes of this lab on the machine, this very one left out."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and _is_ours(place, pid)]


def end(pids: Collection[int]) -> None:
    """Kill processes and wait until they are gone. Raises LabError when one is still there after 30 seconds."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while left := [pid for pid in pids if alive(pid)]:
        if time.monotonic() > deadline:
            raise LabError(f"Expected the processes {left} to end when killed; they are still there. Try again.")
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for yet does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def _is_ours(place: Place, pid: int) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return f"{_MARK}={place.root}".encode() in environment.split(b"\0")
