"""Whether a file can be replaced: put in its place by rename, as pgleap writes every file."""

from __future__ import annotations

import array
import fcntl
import os
from pathlib import Path
from typing import Iterator

from agent.checks.sight import Sight

# linux/fs.h; chattr(1) calls them i and a. The request number is that of a 64-bit machine, which every server of a fleet is.
FS_IOC_GETFLAGS = 0x80086601
FLAGS = {0x10: "immutable (lsattr shows i)", 0x20: "append-only (lsattr shows a)"}
ROOM = 1_000_000  # bytes: a file of ten thousand lines and its copies


def irreplaceable(sight: Sight, absolute: str) -> Iterator[str]:
    """What keeps a file, which may be missing, from being replaced."""
    path = sight.server.path(absolute)
    if path.is_file() and not path.is_symlink():
        yield from (f"{absolute} is {said}" for flag, said in FLAGS.items() if _flags(path) & flag)
    # A line's fifth field is where it is mounted (proc_pid_mountinfo(5)).
    mounted = [line.split()[4] for line in (sight.text("/proc/self/mountinfo") or "").splitlines()]
    if absolute in mounted:
        yield f"{absolute} is a mount of its own (a container's, or a bind mount), which cannot be replaced"
    yield from (f"{path.parent} is {said}" for flag, said in FLAGS.items() if _flags(path.parent) & flag)
    there = os.statvfs(path.parent)
    if there.f_flag & os.ST_RDONLY:
        yield f"{path.parent} is on a file system that is mounted read-only"
    elif there.f_bfree * there.f_frsize < ROOM:
        yield f"{path.parent} is on a file system with {there.f_bfree * there.f_frsize} bytes free"
    elif there.f_files and there.f_ffree < 10:
        yield f"{path.parent} is on a file system with {there.f_ffree} inodes free"


def _flags(path: Path) -> int:
    """A file's or a folder's attributes as chattr(1) sets them; 0 where the file system has none."""
    held = array.array("l", [0])
    try:
        asked = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        fcntl.ioctl(asked, FS_IOC_GETFLAGS, held, True)
    except OSError:
        return 0
    finally:
        os.close(asked)
    return held[0]
