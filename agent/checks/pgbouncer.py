"""PgBouncer on a server of the application: it keeps connections, and addresses of names, of its own."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Optional, Tuple

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight

CONFIG = "/etc/pgbouncer/pgbouncer.ini"
TTL = "15"  # seconds; PgBouncer's own default of dns_max_ttl


def _pgbouncer(sight: Sight) -> List[str]:
    return [sentence for file in _running(sight) for sentence in _of(file, sight)]


def _running(sight: Sight) -> List[str]:
    """The configuration files of the processes that run here."""
    files = []
    for comm in sight.server.path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == "pgbouncer":
                words = (comm.parent / "cmdline").read_bytes().decode(errors="replace").split("\0")[1:]
                files.append(next((word for word in words if word and not word.startswith("-")), CONFIG))
        except OSError:
            continue  # it has ended
    return sorted(set(files))


def _of(file: str, sight: Sight) -> Iterator[str]:
    text = sight.text(file)
    if text is None:
        yield f"PgBouncer runs, and {file} is not there to look at"
        return
    databases, settings = _read(text)
    names = {name.lower() for name in sight.desired["names"]}
    addresses = {address: name for name, address in sight.desired["databases"].items()}
    hosts = sorted({host for value in databases for host in _hosts(value)})
    by_name = [host for host in hosts if host.lower() in names]
    by_address = [f"{host} ({addresses[host]})" for host in hosts if host in addresses]
    if by_address:
        yield f"PgBouncer ({file}) names databases by their address, which moves with no hosts file: {', '.join(by_address)}"
    if by_name and not _reconnects(sight.desired.get("reload") or ""):
        yield (
            f"PgBouncer ({file}) leads to {', '.join(by_name)}; dns_max_ttl {settings.get('dns_max_ttl', TTL)} s,"
            f" server_round_robin {settings.get('server_round_robin', '0')}, server_lifetime"
            f" {settings.get('server_lifetime', '3600')} s, and this server's reload does not make it connect anew"
        )


def _reconnects(reload: str) -> bool:
    """Whether the server's reload command is about PgBouncer: what a script of another name does is the operator's to know."""
    return re.search(r"reconnect|pgbouncer", reload, re.IGNORECASE) is not None


def _read(text: str) -> Tuple[List[str], Dict[str, str]]:
    """The connection strings under [databases], and the settings under [pgbouncer]."""
    section: Optional[str] = None
    databases: List[str] = []
    settings: Dict[str, str] = {}
    for line in text.splitlines():
        plain = line.strip()
        if re.fullmatch(r"\[.*\]", plain):
            section = plain[1:-1].strip().lower()
        elif "=" in plain and plain[0] not in ";#":
            key, value = (part.strip() for part in plain.split("=", 1))
            if section == "databases":
                databases.append(value)
            elif section == "pgbouncer":
                settings[key] = value
    return databases, settings


def _hosts(value: str) -> List[str]:
    found = re.search(r"(?:^|\s)host\s*=\s*'?([^\s']+)", value)
    return found.group(1).split(",") if found else []


CHECKS = (
    Check(
        name=CheckName.PGBOUNCER,
        severity=Severity.WARN,
        sides=(Side.SERVER,),
        why="it keeps its connections and remembers addresses, so that its clients stay on the database that was left",
        do="give the server a reload in pgleap:servers: psql -p 6432 -U pgbouncer pgbouncer -c RECONNECT; dns_max_ttl = 1; hosts by"
        " name; a build with c-ares, for one with libevent's resolver reads /etc/hosts only when it starts",
        look=_pgbouncer,
    ),
)
