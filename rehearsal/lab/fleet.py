"""A fleet, as data: what the network, the hosts and the stack's configuration are made from. The lab's own has twelve servers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Role = Literal["primary", "replica", "target", "new-replica", "online", "drained", "worker"]


@dataclass(frozen=True)
class Server:
    """One server: its name, its part in the upgrade, its address, and what only some have.

    `tasks` are the systemd units of a worker; `keep_until` is the phase a worker's tasks are kept until, when it is
    not the usual one; `reload` is run after the server's hosts file has changed; `takes_over` is the old replica whose
    names a new one gets. An `instance` is made on EC2 by the stack.
    """

    name: str
    role: Role
    address: str
    tasks: tuple[str, ...] = ()
    keep_until: str | None = None
    reload: str | None = None
    takes_over: str | None = None
    instance: bool = False


TASKS_UNIT = "celery.service"

FLEET = (
    Server("db1", "primary", "10.77.0.11"),
    Server("db2", "replica", "10.77.0.12"),
    Server("db3", "replica", "10.77.0.13"),
    Server("db-a", "target", "10.77.0.14", instance=True),
    Server("db-c", "new-replica", "10.77.0.15", takes_over="db2", instance=True),
    Server("db-d", "new-replica", "10.77.0.16", takes_over="db3", instance=True),
    Server("web1", "online", "10.77.0.21"),
    Server("web2", "online", "10.77.0.22"),
    Server("web3", "drained", "10.77.0.23"),
    Server("web4", "drained", "10.77.0.24"),
    Server("worker1", "worker", "10.77.0.31", tasks=(TASKS_UNIT,)),
    Server("worker2", "worker", "10.77.0.32", tasks=(TASKS_UNIT,), keep_until="upgrade"),
)

OPERATOR_ADDRESS = "10.77.0.1"
"""The machine's own address on the lab's bridge: where the operator, and so Pulumi, is."""
PREFIX_LENGTH = 24
NETWORK = "10.77.0.0/24"
FIRST_ADDRESS = 11
"""The last part of the first server's address; the others' follow."""

READS_FROM = "db2"
"""The replica that serves reads while writes are refused."""

NAMES = {"db1.internal.ln": "db1", "db2.internal.ln": "db2", "db3.internal.ln": "db3"}
"""Every database name that clients use -> the server that it names before the upgrade."""

USER = "deploy"
"""The ordinary user with sudo that the operator is on every server."""

OLD_VERSION = 15
NEW_VERSION = 17


def address(number: int) -> str:
    """The address with this last part. Pure."""
    return f"10.77.0.{number}"


@dataclass(frozen=True)
class Fleet:
    """A fleet that a lab is booted with: its servers, the database names and whom each leads to before the upgrade, the replica that serves
    reads while writes are refused, and the stack's `limits`; what these do not say is pgleap's own default."""

    servers: tuple[Server, ...] = FLEET
    names: Mapping[str, str] = field(default_factory=lambda: dict(NAMES))
    reads_from: str = READS_FROM
    limits: Mapping[str, int] = field(default_factory=dict)

    def with_role(self, *roles: Role) -> tuple[Server, ...]:
        """The servers with one of these roles, in the fleet's order."""
        return tuple(server for server in self.servers if server.role in roles)

    def named(self, name: str) -> Server:
        """The server of that name. Raises KeyError."""
        return {server.name: server for server in self.servers}[name]

    @property
    def primary(self) -> Server:
        """The old primary."""
        return self.with_role("primary")[0]

    @property
    def target(self) -> Server:
        """DB_A."""
        return self.with_role("target")[0]

    @property
    def replicas(self) -> tuple[Server, ...]:
        """The old replicas."""
        return self.with_role("replica")

    @property
    def new_replicas(self) -> tuple[Server, ...]:
        """The new version's replicas."""
        return self.with_role("new-replica")

    @property
    def online(self) -> tuple[str, ...]:
        """The names of the servers that stay behind the load balancer: those that the outage is measured on."""
        return tuple(server.name for server in self.with_role("online"))

    @property
    def drained(self) -> dict[str, str]:
        """The servers that leave the load balancer in the window: name -> address."""
        return {server.name: server.address for server in self.with_role("drained")}

    @property
    def clients(self) -> tuple[Server, ...]:
        """The servers that use the databases."""
        return self.with_role("online", "drained", "worker")

    def names_of(self, *servers: str) -> list[str]:
        """The database names that lead to these servers before the upgrade, in the order of the servers."""
        return [name for owner in servers for name, leads in self.names.items() if leads == owner]

    def spread(self) -> dict[str, str]:
        """Where each database name has to lead from `replicas` on: name -> address."""
        heirs = {one.takes_over: one.address for one in self.new_replicas}
        return {name: heirs.get(owner, self.target.address) for name, owner in self.names.items()}

    def keep(self, file: Path) -> None:
        """Write it down, for whoever opens the lab later."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def kept(cls, file: Path) -> Fleet:
        """The fleet that was written down; the lab's own where none was."""
        if not file.exists():
            return ORDINARY
        found = json.loads(file.read_text(encoding="utf-8"))
        servers = tuple(Server(**{**one, "tasks": tuple(one["tasks"])}) for one in found.pop("servers"))
        return cls(servers, **found)


ORDINARY = Fleet()
"""The lab's own fleet, which a rehearsal has when it is given no other."""


def named(name: str) -> Server:
    """The server of that name in the lab's own fleet. Raises KeyError."""
    return ORDINARY.named(name)


def hosts_file(server: Server, fleet: Fleet = ORDINARY) -> str:
    """/etc/hosts as it is on `server` before anything was upgraded: the database names among ordinary lines."""
    lines = [
        "# Made when this server was set up. Names of the databases are at the end.",
        "127.0.0.1\tlocalhost",
        f"127.0.1.1\t{server.name}.lab.ln {server.name}",
        "",
        "# The following lines are desirable for IPv6 capable hosts",
        "::1     localhost ip6-localhost ip6-loopback",
        "ff02::1 ip6-allnodes",
        "",
        f"{OPERATOR_ADDRESS}\tbackup.internal.ln backup   # not a database",
        "",
    ]
    for fqdn, owner in fleet.names.items():
        alias = f" {owner}" if owner == fleet.primary.name and fqdn != owner else ""
        lines.append(f"{fleet.named(owner).address} {fqdn}{alias}")
    return "\n".join(lines) + "\n"
