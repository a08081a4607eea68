"""Put the clients on the lab's servers, start and stop them, bring their logs back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rehearsal.lab.fleet import Server
from rehearsal.lab.hosts import Host

KINDS = ("connect", "testing-pool", "plain-pool")
"""The kinds of client on each web server."""
TASK_DATABASES = {"worker1": ("shop", "metrics"), "worker2": ("forum",)}
"""What each worker's offline task writes to."""

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


def install(host: Host, interval: float | None = None) -> None:
    """Put the client program, its passwords and the units on a web server or a worker; nothing is started.

    `interval` is from one request of a client to its next, in milliseconds; without it each kind has its own (client.py),
    light enough for the whole fleet on two cores.
    """
    host.write(_PROGRAM, (_HERE / "client.py").read_text(encoding="utf-8"))
    # libpq heeds the file only if nobody but its user can read it.
    host.write(PASSWORDS, (_HERE / "pgpass").read_text(encoding="utf-8"), mode=0o600, owner=_USER)
    for name, text in units(host.server, interval).items():
        host.write(f"/etc/systemd/system/{name}", text)
    host.run(["systemctl", "daemon-reload"])


def units(server: Server, interval: float | None = None) -> dict[str, str]:
    """The systemd units that a server gets, name and text: its offline tasks on a worker, else one template."""
    if not server.tasks:
        return {"pgleap-traffic@.service": _unit("Client of the lab's databases: %i", "%i", interval)}
    databases = TASK_DATABASES[server.name]
    task = _unit(
        f"Offline task that writes to {', '.join(databases)}", f"worker --databases {' '.join(databases)}", interval
    )
    return dict.fromkeys(server.tasks, task)


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


def _unit(description: str, arguments: str, interval: float | None) -> str:
    if interval is not None:
        arguments += f" --interval {interval}"
    return _UNIT.format(
        description=description,
        arguments=arguments,
        program=_PROGRAM,
        logs=_LOGS,
        passwords=PASSWORDS,
        user=_USER,
    )
