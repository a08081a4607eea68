"""The twelve servers of the lab, as data: what the network, the hosts and the stack's configuration are made from."""

from dataclasses import dataclass
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

READS_FROM = "db2"
"""The replica that serves reads while writes are refused."""

NAMES = {"db1.internal.ln": "db1", "db2.internal.ln": "db2", "db3.internal.ln": "db3"}
"""Every database name that clients use -> the server that it names before the upgrade."""

USER = "deploy"
"""The ordinary user with sudo that the operator is on every server."""

OLD_VERSION = 15
NEW_VERSION = 17


def named(name: str) -> Server:
    """The server of that name. Raises KeyError."""
    return {server.name: server for server in FLEET}[name]


def hosts_file(server: Server) -> str:
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
    for fqdn, owner in NAMES.items():
        alias = " db1" if owner == "db1" else ""
        lines.append(f"{named(owner).address} {fqdn}{alias}")
    return "\n".join(lines) + "\n"
