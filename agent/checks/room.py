"""Whether there is room: on the disks, for the upgrade and the way to it; and in memory, for those who come to DB_B and DB_A."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import List, NamedTuple, Optional

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side, Unseen
from agent.checks.memory import memory
from agent.checks.sight import Sight
from agent.checks.wording import amount
from agent.states import Phase

MB = 1024 * 1024
# A base backup's pace where nothing slows it; a slower one holds WAL for longer.
COPY_BYTES_A_SECOND = 50 * MB
# initdb's own databases, and what pg_upgrade writes beside (its dumps and logs).
NEW_CLUSTER_BYTES = 256 * MB
FILES_OF_A_DATABASE = 400  # its catalogue: 300 of them up to version 18
FICLONE = 0x40049409  # linux/fs.h
# What a session takes for itself before it sorts anything; and how many a core has at work at once.
SESSION_BYTES = 5 * MB
AT_WORK_A_CORE = 4


class Free(NamedTuple):
    """What an ordinary user has left on a file system; `inodes` is None where it makes them as it needs them."""

    bytes: int
    inodes: Optional[int]


def nearest(sight: Sight, path: str) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = sight.server.path(path)
    while not folder.exists():
        folder = folder.parent
    return folder


def free(folder: Path) -> Free:
    told = os.statvfs(folder)
    return Free(told.f_bavail * told.f_frsize, told.f_favail if told.f_files else None)


def _disk(sight: Sight) -> List[str]:
    if sight.desired["side"] == Side.TARGET.value:
        return _disk_for_upgrade(sight)
    return _disk_while_copying(sight)


def _disk_for_upgrade(sight: Sight) -> List[str]:
    """The catalogues are written anew, and dumped before that; the databases' files are linked (or copied)."""
    each = sight.everywhere(
        "SELECT pg_database_size(current_database()) AS bytes, (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'i', 't', 'm', 'S'))"
        " AS files, (SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace"
        " AND relname NOT LIKE 'pg_largeobject%' AND relkind IN ('r', 'i')) AS catalogue"
    )
    settings, mode = sight.settings(), sight.desired["transferMode"]
    catalogue = sum(int(row["catalogue"]) for row in each)
    wal = int(settings["max_wal_size"]) * MB
    data = sum(int(row["bytes"]) for row in each) if mode == "copy" else 0
    need = NEW_CLUSTER_BYTES + 2 * catalogue + wal + data
    files = FILES_OF_A_DATABASE * (len(each) + 3)
    if mode != "link":
        files += 3 * sum(int(row["files"]) for row in each)  # with free space and visibility maps
    rule = f"{amount(NEW_CLUSTER_BYTES)} + twice the catalogues' {amount(catalogue)} + max_wal_size {amount(wal)}" + (
        f" + a copy of {amount(data)}" if data else ""
    )
    return _short(sight.new.data, free(nearest(sight, sight.new.data)), need, rule, files)


def _disk_while_copying(sight: Sight) -> List[str]:
    """WAL stays on the old primary for as long as DB_A's base backup runs, at the pace that was usual so far."""
    if Phase(sight.desired["phase"]) is not Phase.PREPARE:
        raise Unseen("it is asked before DB_A is made, in prepare")
    settings = sight.settings()
    data = int(sight.row("SELECT sum(pg_database_size(oid))::bigint AS bytes FROM pg_database")["bytes"])
    wal = int(settings["max_wal_size"]) * MB
    seconds = data / COPY_BYTES_A_SECOND
    held = int(wal_rate(sight) * seconds)
    limit = int(settings.get("max_slot_wal_keep_size", "-1"))
    held = min(held, limit * MB) if limit >= 0 else held
    rule = f"max_wal_size {amount(wal)} + {amount(held)} that are written while {amount(data)} are copied"
    folder = nearest(sight, f"{sight.old.data}/pg_wal").resolve()
    return _short(str(folder), free(folder), wal + held, rule, 0)


def wal_rate(sight: Sight) -> float:
    """WAL in bytes a second, on average since its statistics were reset; 0 before version 14, which keeps none."""
    if int(sight.row("SELECT current_setting('server_version_num')::int AS n")["n"]) < 140000:
        return 0.0
    row = sight.row(
        "SELECT wal_bytes::float8 AS bytes, extract(epoch FROM clock_timestamp() - stats_reset)::float8 AS seconds FROM pg_stat_wal"
    )
    return float(row["bytes"]) / max(float(row["seconds"] or 0), 60.0)


def _short(where: str, there: Free, need: int, rule: str, inodes: int) -> List[str]:
    found = []
    if there.bytes < need:
        found.append(f"{where}: {amount(there.bytes)} are free, {amount(need)} may be needed ({rule})")
    if there.inodes is not None and there.inodes < inodes:
        found.append(f"{where}: {there.inodes} inodes are free, about {inodes} may be needed")
    return found


def _same_filesystem(sight: Sight) -> List[str]:
    if sight.desired["transferMode"] == "copy":
        return []
    old, new = (nearest(sight, cluster.data) for cluster in (sight.old, sight.new))
    if old.stat().st_dev != new.stat().st_dev:
        return [
            f"{sight.old.data} and {sight.new.data} are on two file systems ({_mount(sight, old)}, {_mount(sight, new)})"
        ]
    # A link does not cross a mount either, not even one of the same file system (bind mounts; link(2), EXDEV).
    mounts = {_mount(sight, old), _mount(sight, new)}
    return (
        [f"{sight.old.data} and {sight.new.data} are below two mounts ({', '.join(sorted(mounts))})"]
        if len(mounts) > 1
        else []
    )


def _mount(sight: Sight, folder: Path) -> str:
    """Where the folder's file system is mounted."""
    lines = (sight.text("/proc/self/mountinfo") or "").splitlines()
    places = [line.split()[4].replace("\\040", " ") for line in lines if len(line.split()) > 4]
    real = f"{folder.resolve()}/"
    return max((place for place in places if real.startswith(place.rstrip("/") + "/")), key=len, default="/")


def _reflinks(sight: Sight) -> List[str]:
    if sight.desired["transferMode"] != "clone":
        return []
    folder = nearest(sight, sight.new.data)
    try:
        # Two files without a name, which are gone when they are closed.
        one, other = (os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600) for _ in range(2))
    except OSError as wrong:
        raise Unseen(f"no nameless file can be made in {folder}: {wrong.strerror}") from None
    try:
        fcntl.ioctl(other, FICLONE, one)
    except OSError as wrong:
        if wrong.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS):
            raise
        return [f"the file system of {folder} cannot clone files ({wrong.strerror})"]
    finally:
        os.close(one)
        os.close(other)
    return []


def _memory(sight: Sight) -> List[str]:
    if sight.desired["side"] == Side.OLD_REPLICA.value and not sight.desired["isReadFrom"]:
        return []
    settings, there = sight.settings(), memory(sight)
    buffers, work = int(settings["shared_buffers"]) * int(settings["block_size"]), int(settings["work_mem"]) * 1024
    sessions = int(settings["max_connections"])
    # Of hundreds of sessions a machine has few at work at once: the product of both settings is beyond the memory of most that are well.
    at_work = min(sessions, AT_WORK_A_CORE * len(os.sched_getaffinity(0)))
    need, found = buffers + sessions * SESSION_BYTES + at_work * work, []
    if need > there["MemTotal"]:
        found.append(
            f"{amount(there['MemTotal'])} of memory, and {amount(need)} may be used: shared_buffers {amount(buffers)} + max_connections"
            f" {sessions} x {amount(SESSION_BYTES)} + {at_work} sessions at work x work_mem {amount(work)}"
        )
    pages = there.get("HugePages_Total", 0) * there.get("Hugepagesize", 0)
    if settings.get("huge_pages") == "on" and pages < buffers:
        found.append(
            f"huge_pages is on, and {amount(pages)} of them are set aside for shared_buffers {amount(buffers)}"
        )
    return found


CHECKS = (
    Check(
        name=CheckName.DISK,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY, Side.TARGET),
        why="a disk that fills up stops PostgreSQL: the old primary while DB_A is copied, or pg_upgrade in the window",
        do="enlarge the disk, or free some of it (old logs, dumps)",
        look=_disk,
    ),
    Check(
        name=CheckName.SAME_FILESYSTEM,
        severity=Severity.REFUSE,
        sides=(Side.TARGET,),
        why="files are linked or cloned within one file system only",
        do="have both versions' data directories below one mount (postgres.old.data, postgres.new.data), or transferMode: copy, which"
        " takes as long as copying everything",
        look=_same_filesystem,
    ),
    Check(
        name=CheckName.REFLINKS,
        severity=Severity.REFUSE,
        sides=(Side.TARGET,),
        why="pg_upgrade --clone needs a file system that clones files",
        do="use XFS (made with reflink=1) or Btrfs for DB_A's data, or transferMode: link",
        look=_reflinks,
    ),
    Check(
        name=CheckName.MEMORY,
        severity=Severity.WARN,
        sides=(Side.OLD_REPLICA, Side.TARGET),
        why="DB_B serves all reads in the window, and DB_A everybody after it: what is enough for a replica today may not be then",
        do="lower work_mem or max_connections there, or take a larger instance",
        look=_memory,
    ),
)
