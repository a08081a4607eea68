"""Where a PostgreSQL cluster lives on a server: Debian's layout, the PGDG RPM one, or as the stack names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from agent.report import Refusal

OS_USER = "postgres"
# For pg_createcluster: a server's own createcluster.conf would have the data or the WAL elsewhere, or initdb's options be other ones than
# the old cluster's.
ONLY_AS_TOLD = ("--createclusterconf", "/dev/null")
SOCKET_FOLDER = "/var/run/postgresql"


@dataclass(frozen=True)
class Cluster:
    """One cluster: `bin`, `data` and `config` are folders, `unit` its systemd unit, `port` its TCP port."""

    version: int
    layout: str
    name: str
    bin: str
    data: str
    config: str
    unit: str
    port: int
    superuser: str
    # Where its socket is; "" for what the running server says of itself.
    socket_folder: str = ""

    @property
    def hba_file(self) -> str:
        return f"{self.config}/pg_hba.conf"

    @property
    def ident_file(self) -> str:
        return f"{self.config}/pg_ident.conf"

    @property
    def config_file(self) -> str:
        return f"{self.config}/postgresql.conf"

    @property
    def own_config_file(self) -> str:
        """pgleap's own settings; the last line of `config_file` includes it, and what is last wins."""
        return f"{self.config}/pgleap.conf"

    @property
    def auto_config_file(self) -> str:
        return f"{self.data}/postgresql.auto.conf"

    def program(self, name: str) -> str:
        return f"{self.bin}/{name}"


def socket_folder(cluster: Cluster, lock: str) -> str:
    """Where the socket is: as the stack says, or as a running server's postmaster.pid, whose text is `lock`, has it on its fifth line
    (miscadmin.h, LOCK_FILE_LINE_SOCKET_DIR); "" if neither says. Pure."""
    lines = lock.split("\n")
    said = lines[4].strip() if len(lines) > 4 else ""
    if said and not said.startswith(("/", "@")):
        said = f"{cluster.data}/{said}"
    return cluster.socket_folder or said


def from_desired(desired: Mapping[str, Any]) -> Cluster:
    """A cluster from a desired state's `postgres`: version, layout, cluster, port, superuser, and what the stack overrides.

    Sources: Debian's postgresql-common (pg_ctlcluster(1)); the PGDG RPM packages' unit files. Raises Refusal on another layout.
    """
    version, name, layout = int(desired["version"]), str(desired["cluster"]), desired["layout"]
    if layout == "debian":
        places = {
            "bin": f"/usr/lib/postgresql/{version}/bin",
            "data": f"/var/lib/postgresql/{version}/{name}",
            "config": f"/etc/postgresql/{version}/{name}",
            "unit": f"postgresql@{version}-{name}.service",
        }
    elif layout == "rhel":
        data = f"/var/lib/pgsql/{version}/data"
        places = {
            "bin": f"/usr/pgsql-{version}/bin",
            "data": data,
            "config": data,
            "unit": f"postgresql-{version}.service",
        }
    else:
        raise Refusal("the layout debian or rhel", f"{layout!r}", "mend pgleap:postgres.layout")
    places.update({key: desired[key] for key in places if desired.get(key)})
    return Cluster(
        version=version,
        layout=layout,
        name=name,
        port=int(desired["port"]),
        superuser=str(desired["superuser"]),
        socket_folder=str(desired.get("socketFolder", "")),
        **places,
    )
