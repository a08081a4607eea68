"""The processes that this one descends from, by their arguments: what a person typed is seen there and nowhere else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# More than any shell, multiplexer and wrapper make of a chain.
_MOST = 64
_SECONDS = 5.0
_PROC = Path("/proc")


def ancestors() -> list[list[str]]:
    """The arguments of the parent, its parent and so on, as far as they can be read. Never raises: who sees nothing is told nothing."""
    found = []
    pid = os.getppid()
    for _ in range(_MOST):
        if pid <= 1:
            break
        read = _from_proc(pid) if (_PROC / "self").exists() else _from_ps(pid)
        if read is None:
            break
        pid, arguments = read
        found.append(arguments)
    return found


def _from_proc(pid: int) -> tuple[int, list[str]] | None:
    """Its parent's id, and its arguments (proc(5): the name in `stat` is in parentheses, and may hold some itself)."""
    try:
        after_name = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        line = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    return int(after_name[1]), [word.decode(errors="replace") for word in line.split(b"\0")[:-1]]


def _from_ps(pid: int) -> tuple[int, list[str]] | None:
    """The same where there is no /proc. `ps` joins arguments with blanks, so a message of several words comes as several."""
    try:
        said = subprocess.run(
            ["ps", "-ww", "-o", "ppid=,args=", "-p", str(pid)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        ).stdout.split()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (int(said[0]), said[1:]) if said and said[0].isdigit() else None
