"""A cluster that is a copy of another one: its empty place, and the base backup that fills it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import List, Optional

from agent.cluster import ONLY_AS_TOLD, OS_USER, Cluster
from agent.postgres import PASSWORD_FILE
from agent.report import Refusal, progress
from agent.server import Server


@dataclass(frozen=True)
class Source:
    """Whom to copy, and as whom: a role whose password is in pgleap's password file. `slot` keeps the WAL for the copy."""

    name: str
    address: str
    port: int
    user: str
    slot: str


def make_place(server: Server, cluster: Cluster) -> None:
    """An empty data folder, and Debian's configuration files. What was there is gone, and it does not start with the machine: a copy
    that was not told yet to be a standby would come up as a primary of its own."""
    if cluster.layout == "debian" and not server.path(cluster.config).exists():
        server.run(
            "pg_createcluster",
            *ONLY_AS_TOLD,
            "--start-conf",
            "disabled",
            "--datadir",
            cluster.data,
            "--port",
            str(cluster.port),
            str(cluster.version),
            cluster.name,
        )
    starts_with_the_machine(server, cluster, starts=False)
    empty_folder(server, cluster.data)


def empty_folder(server: Server, folder: str) -> None:
    """The folder, PostgreSQL's own, with nothing in it."""
    path = server.path(folder)
    if path.exists():
        shutil.rmtree(path)
    uid, gid = server.owner(OS_USER)
    server.run("install", "-d", "-m", "0700", "-o", str(uid), "-g", str(gid), str(path))


def take(server: Server, cluster: Cluster, source: Source, seconds: float) -> None:
    """Copy `source` into the empty data folder, within `seconds`. Raises Refusal."""
    last: List[str] = [""]
    tail: List[str] = []

    def on_line(line: str) -> None:
        tail.append(line)
        del tail[:-20]
        percent = re.search(r"\((\d+)%\)", line)
        if percent and percent.group(1) != last[0]:
            last[0] = percent.group(1)
            progress(f"base backup from {source.name}: {last[0]} %")

    status: Optional[int] = server.stream(
        cluster.program("pg_basebackup"), "--pgdata", cluster.data, "--host", source.address, "--port", str(source.port),
        "--username", source.user, "--no-password", "--wal-method=stream", "--slot", source.slot, "--checkpoint=fast", "--progress",
        user=OS_USER, seconds=seconds, on_line=on_line, environment={"PGPASSFILE": str(server.path(PASSWORD_FILE))},
    )  # fmt: skip
    if status != 0:
        found = (
            f"not finished after {seconds:g} s" if status is None else f"exit status {status}: {' '.join(tail)[-1500:]}"
        )
        raise Refusal("the base backup to finish", found, "mend what it says, then run `pulumi up` again")


def starts_with_the_machine(server: Server, cluster: Cluster, starts: bool = True) -> None:
    """Whether its unit starts at boot, in the words of its layout."""
    if cluster.layout == "debian":
        server.write_durably(f"{cluster.config}/start.conf", b"auto\n" if starts else b"disabled\n")
    else:
        server.run("systemctl", "enable" if starts else "disable", cluster.unit)
