"""Whether the servers are what the stack calls them, and have the programs that each step will call."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

from agent.check_names import CheckName
from agent.checks.check import OLD_DATABASES, Check, Severity, Side
from agent.checks.sight import Sight
from agent.cluster import Cluster

# What the steps call, and what pg_upgrade itself looks for in both folders (its exec.c, check_bin_dir).
OF_THE_NEW = (
    "postgres", "psql", "initdb", "pg_ctl", "pg_upgrade", "pg_controldata", "pg_resetwal", "pg_dump", "pg_dumpall", "pg_restore", "vacuumdb",
)  # fmt: skip
OF_THE_OLD = ("postgres", "psql", "pg_ctl", "pg_basebackup", "pg_controldata", "pg_resetwal")
OF_A_REPLICA = ("postgres", "psql", "pg_ctl", "pg_basebackup", "pg_controldata")
# Debian's clusters are made and taken away by programs of its own (package postgresql-common).
OF_DEBIAN = ("/usr/bin/pg_createcluster", "/usr/bin/pg_dropcluster")


def running(sight: Sight) -> Tuple[int, str]:
    """The running server's major version, and its version as it writes it."""
    row = sight.row(
        "SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version"
    )
    return int(row["number"]) // 10000, str(row["version"]).split(" ", 1)[0]


def installed(sight: Sight, cluster: Cluster) -> Optional[str]:
    """The version that a cluster's binary says it is; None if there is none."""
    if not sight.is_installed(cluster):
        return None
    said = sight.program(cluster.program("postgres"), "-V").stdout
    found = re.search(r"\(PostgreSQL\) (\S+)", said)
    return found.group(1) if found else None


def _versions(sight: Sight) -> List[str]:
    old, new = sight.old.version, sight.new.version
    major, version = running(sight)
    found = [] if major == old else [f"PostgreSQL {version} runs here, and the stack's old version is {old}"]
    return found if new > old else [*found, f"the stack's new version {new} is not later than its old one, {old}"]


def _minor_versions(sight: Sight) -> List[str]:
    _, version = running(sight)
    there = installed(sight, sight.old)
    if there is None or there == version:
        return []
    return [f"{version} runs, and {there} is installed since: the next start is a change of version too"]


def _roles(sight: Sight) -> List[str]:
    standby = sight.row("SELECT pg_is_in_recovery() AS standby")["standby"]
    wanted = sight.desired["side"] == Side.OLD_REPLICA.value
    if standby == wanted:
        return []
    name = sight.desired["server"]
    return [f"{name} is a primary, not a replica" if wanted else f"{name} is in recovery, not the primary"]


def _binaries(sight: Sight) -> List[str]:
    wanted: Dict[Cluster, Tuple[str, ...]] = {sight.new: OF_A_REPLICA}
    if sight.desired["side"] == Side.TARGET.value:
        wanted = {sight.new: OF_THE_NEW, sight.old: OF_THE_OLD}
    found = []
    for cluster, programs in wanted.items():
        missing = [program for program in programs if not sight.is_installed(cluster, program)]
        if missing:
            found.append(f"{cluster.bin} has no {', '.join(missing)}")
        version = installed(sight, cluster)
        if version is not None and int(re.split(r"\D", version)[0]) != cluster.version:
            found.append(f"{cluster.program('postgres')} is {version}, not {cluster.version}")
    if sight.new.layout == "debian":
        found += [f"there is no {path}" for path in OF_DEBIAN if not sight.server.path(path).exists()]
    return found


CHECKS = (
    Check(
        name=CheckName.VERSIONS,
        severity=Severity.REFUSE,
        sides=OLD_DATABASES,
        why="everything that is done to a server depends on its version",
        do="correct versions.old and versions.new of the stack, or postgres (port, cluster) if another cluster answered",
        look=_versions,
    ),
    Check(
        name=CheckName.MINOR_VERSIONS,
        severity=Severity.WARN,
        sides=(*OLD_DATABASES, Side.TARGET),
        why="a server that is started again in the window, or after a crash, would not be the one that was tried",
        do="restart it before the window, replicas first, or keep the packages as they are: apt-mark hold",
        look=_minor_versions,
    ),
    Check(
        name=CheckName.ROLES,
        severity=Severity.REFUSE,
        sides=OLD_DATABASES,
        why="pgleap seals the one database that is written to, and reads go to one that follows it",
        do="correct the roles in pgleap:servers; if a replica was promoted by mistake, rebuild it from the primary",
        look=_roles,
    ),
    Check(
        name=CheckName.BINARIES,
        severity=Severity.REFUSE,
        sides=(Side.TARGET, Side.NEW_REPLICA),
        why="a program that is missing is found out when it is called, some of them in the window",
        do="install the packages, before prepare on DB_A in both versions (Debian: apt-get install postgresql-<version>; RPM:"
        " dnf install postgresql<version>-server postgresql<version>-contrib), or correct postgres.old.bin and postgres.new.bin",
        look=_binaries,
    ),
)
