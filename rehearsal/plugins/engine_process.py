"""Which process an engine is: a program under the real language host descends from it, and may look at how it was started."""

import os
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"


def listening(address: str) -> int | None:
    """The id of the process that listens at `address`, such as 127.0.0.1:4711; None where that cannot be seen (Linux alone tells)."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(address.rpartition(":")[2])}
    if not sockets:
        return None
    for folder in _PROC.glob("[0-9]*"):
        try:
            if any(os.readlink(held) in sockets for held in (folder / "fd").iterdir()):  # noqa: PTH115 - no path, a socket's name
                return int(folder.name)
        except OSError:
            continue
    return None


def _inodes(port: str) -> set[str]:
    """The sockets that listen at a port (proc(5), /proc/net/tcp: local address, state and inode are the 2nd, 4th and 10th field)."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if port.isdigit() and fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == int(port):
                found.add(fields[9])
    return found
