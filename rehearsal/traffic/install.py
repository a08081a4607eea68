"""Put the clients on the lab's servers, start and stop them, bring their logs back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rehearsal.lab.fleet import ORDINARY, Fleet, Server
from rehearsal.lab.hosts import Host
from rehearsal.traffic.mix import KINDS, Mix

__all__ = ["KINDS", "PASSWORDS", "TASK_DATABASES", "collect", "install", "start", "started", "stop", "units"]

TASK_DATABASES = {"worker1": ("shop", "metrics"), "worker2": ("forum",)}
"""What each worker's offline task writes to; another fleet's workers have them in turn."""

_HERE = Path(__file__).parent
_PROGRAM = "/usr/local/lib/pgleap-traffic/client.py"
PASSWORDS = "/etc/pgleap-traffic/pgpass"
_LOGS = "/var/log/pgleap-traffic"
_USER = "www-data"
_UNIT = """\
[Unit]
Description={description}
After=network.target

[Service]
ExecStart=/usr/bin/python3 -I {program} {arguments} --log {logs}
Environment=PGPASSFILE={passwords}
User={user}
LogsDirectory=pgleap-traffic
Restart=on-failure
TimeoutStopSec=20

[Install]
WantedBy=multi-user.target
"""


def install(host: Host, fleet: Fleet = ORDINARY, mix: Mix | None = None) -> None:
    """Put the client program, its passwords and the units on a web server or a worker; nothing is started.

    Without a `mix` there is one client of each kind, each with requests as often as client.py has it: light enough for the lab's own
    fleet on two cores.
    """
    host.write(_PROGRAM, (_HERE / "client.py").read_text(encoding="utf-8"))
    # libpq heeds the file only if nobody but its user can read it.
    host.write(PASSWORDS, (_HERE / "pgpass").read_text(encoding="utf-8"), mode=0o600, owner=_USER)
    for name, text in units(host.server, fleet, mix).items():
        host.write(f"/etc/systemd/system/{name}", text)
    host.run(["systemctl", "daemon-reload"])


def units(server: Server, fleet: Fleet = ORDINARY, mix: Mix | None = None) -> dict[str, str]:
    """The systemd units that a server gets, name and text: its offline tasks on a worker, else one for each kind of client."""
    write = f"--writes {fleet.names_of(fleet.primary.name)[0]}"
    if server.tasks:
        databases = " ".join((mix and mix.databases) or task_databases(server, fleet))
        pace = f" --writes-every {1000 / mix.writes:g}{mix.with_documents()}" if mix else ""
        task = _unit(f"Offline task that writes to {databases}", f"worker --databases {databases} {write}{pace}")
        return dict.fromkeys(server.tasks, task)
    readers = [fleet.reads_from, *(one.name for one in fleet.replicas if one.name != fleet.reads_from)]
    names = " ".join(fleet.names_of(*readers, fleet.primary.name))
    paces = mix.arguments() if mix else dict.fromkeys(KINDS, "")
    return {
        f"pgleap-traffic@{kind}.service": _unit(
            f"Client of the lab's databases: {kind}", f"{kind} --reads {names} {write}{paces[kind]}"
        )
        for kind in KINDS
    }


def task_databases(server: Server, fleet: Fleet) -> tuple[str, ...]:
    """What a worker's offline task writes to."""
    turns = list(TASK_DATABASES.values())
    workers = [one.name for one in fleet.with_role("worker")]
    return TASK_DATABASES.get(server.name) or turns[workers.index(server.name) % len(turns)]


def started(server: Server) -> list[str]:
    """The names of the units that `start` and `stop` mean on a server."""
    return list(server.tasks) or [f"pgleap-traffic@{kind}.service" for kind in KINDS]


def start(hosts: Iterable[Host]) -> None:
    """Start the clients, also at each boot from now on. Clients that run already go on."""
    for host in hosts:
        host.run(["systemctl", "enable", "--quiet", "--now", *started(host.server)])


def stop(hosts: Iterable[Host]) -> None:
    """Stop the clients; each ends the operation it is in, and logs it, before it goes."""
    for host in hosts:
        host.run(["systemctl", "disable", "--quiet", "--now", *started(host.server)])


def collect(hosts: Iterable[Host], folder: Path) -> None:
    """Copy every log to <folder>/<server>/<kind>.jsonl, for `rehearsal.traffic.log.read`. Clients may go on.

    Raises LabError if a host's clients were never started.
    """
    for host in hosts:
        for name in host.run(["ls", _LOGS]).split():
            path = folder / host.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(host.run(["cat", f"{_LOGS}/{name}"]), encoding="utf-8")


def _unit(description: str, arguments: str) -> str:
    return _UNIT.format(
        description=description,
        arguments=arguments,
        program=_PROGRAM,
        logs=_LOGS,
        passwords=PASSWORDS,
        user=_USER,
    )
