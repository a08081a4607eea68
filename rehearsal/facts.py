"""What a rehearsal stands on, read from its servers: sizes, versions, the machine, hosts files. For the report."""

from __future__ import annotations

import os
import platform
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rehearsal.data.fill import Psql
from rehearsal.lab import databases
from rehearsal.lab.hosts import Host
from rehearsal.lab.place import REPOSITORY
from rehearsal.plugins import installed
from rehearsal.report.model import Database, HostsFile, Machine, Server, Versions
from rehearsal.stage import Stage, psql_as_root

NAMES_AND_BYTES = (
    "SELECT datname, pg_database_size(oid) FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
)
# From here on PostgreSQL numbers what is not its own (FirstNormalObjectId in access/transam.h).
NOT_ITS_OWN = 16384
COUNTS = (
    "SELECT count(*), count(*) FILTER (WHERE relkind = 'r'), (SELECT count(*) FROM pg_largeobject_metadata)"
    f" FROM pg_class WHERE oid >= {NOT_ITS_OWN}"
)
VERSION = "SHOW server_version"


@dataclass(frozen=True)
class Ground:
    """The parts of a report that are read from the servers and this machine."""

    versions: Versions
    machine: Machine
    databases: list[Database]
    fleet: list[Server]
    hosts_files: list[HostsFile]


def before(it: Stage) -> Ground:
    """What there is before the first move. Raises LabError, CommandFailedError."""
    primary = partial(databases.psql, _only(it, "primary"))
    pgleap = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    versions = Versions(
        pgleap=pgleap,
        commit=commit(),
        postgres_old=_version(primary),
        postgres_new=None,
        engine=it.pulumi.version(),
        python=platform.python_version(),
        plugins={
            "command": _played(installed.command_plugin(it.pulumi.home)),
            "aws": _played(None),
            "Python language host": _played(installed.language_host(it.pulumi.engine)),
        },
    )
    texts = [(host.name, _hosts_file(host)) for host in it.clients]
    return Ground(
        versions,
        machine(),
        sizes(primary),
        [Server(name=one.name, role=one.server.role, address=one.server.address) for one in it.lab.hosts.values()],
        [HostsFile(server=name, before=text, after=text) for name, text in texts],
    )


def after(it: Stage, found: Ground) -> Ground:
    """The same, with what has changed by the end of the last move. Raises LabError."""
    new = _version(psql_as_root(_only(it, "target")))
    upgraded = new.split(".")[0] != found.versions.postgres_old.split(".")[0]
    return replace(
        found,
        versions=found.versions.model_copy(update={"postgres_new": new if upgraded else None}),
        hosts_files=[
            one.model_copy(update={"after": _hosts_file(it.lab.host(one.server))}) for one in found.hosts_files
        ],
    )


def sizes(psql: Psql) -> list[Database]:
    """How much there is in each database that accepts connections."""
    found = []
    for line in psql("postgres", NAMES_AND_BYTES).splitlines():
        name, size = line.rsplit("|", 1)
        relations, tables, large_objects = (int(number) for number in psql(name, COUNTS).split("|"))
        found.append(
            Database(name=name, bytes=int(size), relations=relations, tables=tables, large_objects=large_objects)
        )
    return found


def machine() -> Machine:
    """This machine, without its name."""
    processors = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return Machine(
        system=platform.freedesktop_os_release()["PRETTY_NAME"],
        kernel=platform.release(),
        processor=processors[0] if processors else platform.machine(),
        cores=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def _only(it: Stage, role: str) -> Host:
    (found,) = (host for host in it.lab.hosts.values() if host.server.role == role)
    return found


def _version(psql: Psql) -> str:
    # Debian's build names its package behind the version.
    return psql("postgres", VERSION).split()[0]


def _hosts_file(host: Host) -> str:
    return host.run(["cat", "/etc/hosts"])


def _played(real: Path | None) -> str:
    return "real" if real else "stand-in"


def commit(besides: Sequence[Path] = ()) -> str | None:
    """The commit of this checkout, with a + if anything differs from it, `besides` apart; None where there is no git, or no checkout."""
    apart = [f":(exclude,top){file.relative_to(REPOSITORY)}" for file in besides]

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "--", ":/", *apart) else ""
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
