"""What is put on the lab's servers for the traffic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from rehearsal.data.fill import LEDGER_DATABASES, SCHEMA
from rehearsal.lab.fleet import FLEET, ORDINARY, Server, named
from rehearsal.lab.hosts import Host
from rehearsal.traffic import client, install
from rehearsal.traffic.log import read
from rehearsal.traffic.mix import KINDS, Mix

CLIENTS = [server for server in FLEET if server.role in ("online", "drained", "worker")]


class FakeHost:
    """Keeps what is written to it, and answers `ls` and `cat` as a server with one log does."""

    def __init__(self, server: Server) -> None:
        self.server, self.name = server, server.name
        self.files: dict[str, tuple[str, int, str]] = {}
        self.commands: list[Sequence[str]] = []

    def write(self, path: str, content: str, mode: int = 0o644, owner: str = "root") -> None:
        self.files[path] = (content, mode, owner)

    def run(self, argv: Sequence[str]) -> str:
        self.commands.append(argv)
        line = '{"kind": "read", "client": "connect", "name": "db1", "database": "shop", "start": 1, "end": 2, "ok": true}\n'
        return {"ls": "connect.jsonl\n", "cat": line}.get(argv[0], "")


@pytest.mark.parametrize("server", CLIENTS, ids=lambda server: server.name)
def test_the_units_that_are_started_are_there(server: Server) -> None:
    """A unit started under a name that was never installed would leave a server without traffic."""
    host = FakeHost(server)
    install.install(cast(Host, host))
    install.start([cast(Host, host)])
    there = {path.rpartition("/")[2] for path in host.files}
    for unit in install.started(server):
        assert unit in there
        assert unit in host.commands[-1]
    assert host.commands.index(["systemctl", "daemon-reload"]) < len(host.commands) - 1


def test_libpq_will_read_the_passwords() -> None:
    """libpq passes over a password file that others can read, with a warning nobody sees: every connection would fail."""
    host = FakeHost(named("web1"))
    install.install(cast(Host, host))
    content, mode, owner = host.files["/etc/pgleap-traffic/pgpass"]
    unit, _, _ = host.files["/etc/systemd/system/pgleap-traffic@connect.service"]
    assert (mode, f"User={owner}" in unit) == (0o600, True)
    for role in ("app_reader", "app_writer"):
        (password,) = re.findall(rf"CREATE ROLE {role} LOGIN PASSWORD '([^']+)'", (SCHEMA / "cluster.sql").read_text())
        assert f"*:*:*:{role}:{password}\n" in content


def test_every_kind_of_client_and_every_ledger_is_used() -> None:
    """A database that nobody writes to has an empty ledger, in which nothing can be missing."""
    assert {*install.KINDS, "worker"} == set(client.INTERVALS)
    assert {database for databases in install.TASK_DATABASES.values() for database in databases} == set(
        LEDGER_DATABASES
    )
    assert install.TASK_DATABASES.keys() == {server.name for server in FLEET if server.role == "worker"}


def test_logs_come_back_under_their_server(tmp_path: Path) -> None:
    """Errors are judged by the server that they happened on: web3's must not be taken for web1's."""
    hosts = [cast(Host, FakeHost(named(name))) for name in ("web1", "web3")]
    install.collect(hosts, tmp_path)
    assert [one.server for one in read(tmp_path)] == ["web1", "web3"]


@pytest.mark.parametrize("mix", [None, Mix(reads=50, writes=20, clients=7)])
@pytest.mark.parametrize("server", CLIENTS, ids=lambda server: server.name)
def test_the_client_knows_what_its_unit_tells_it(server: Server, mix: Mix | None) -> None:
    """A client that ends over an option it does not know is a server without traffic, restarted for ever."""
    for text in install.units(server, ORDINARY, mix).values():
        (line,) = re.findall(r"^ExecStart=.*/client\.py (.*)$", text, re.MULTILINE)
        told = client.arguments().parse_args(line.split())
        assert told.writes == "db1.internal.ln"
        assert told.reads == ["db2.internal.ln", "db3.internal.ln", "db1.internal.ln"]


def test_the_clients_of_a_server_make_the_traffic_that_was_asked_for() -> None:
    """Figures of a night with a tenth of the traffic would be believed."""
    mix = Mix(reads=50, writes=20, clients=7)
    told = [client.arguments().parse_args([kind, *mix.arguments()[kind].split()]) for kind in KINDS]
    assert [one.clients for one in told] == [3, 2, 2]
    assert sum(one.clients * 1000 / one.reads_every for one in told) == pytest.approx(50)
    assert sum(one.clients * 1000 / one.writes_every for one in told) == pytest.approx(20)


def test_large_objects_are_written_where_they_are_asked_for_alone() -> None:
    """A fleet that writes them has no way back from cutover that loses nothing, so the ordinary traffic writes none."""
    told = [client.arguments().parse_args([kind]).documents for kind in KINDS]
    assert told == [0, 0, 0]
    for server in ORDINARY.servers:
        if server.role in ("online", "drained", "worker"):
            plain, asked = (install.units(server, ORDINARY, Mix(50, 20, documents=some)) for some in (0, 5))
            assert all("--documents" not in text for text in plain.values())
            assert all("--documents 5" in text for text in asked.values())


def test_every_worker_of_another_fleet_has_something_to_write_to() -> None:
    """A worker without databases would not start, and nobody would miss its writes."""
    workers = tuple(Server(f"jobs{n}", "worker", f"10.77.0.{n}", tasks=("jobs.service",)) for n in range(31, 34))
    fleet = replace(ORDINARY, servers=(*ORDINARY.servers, *workers))
    assert {database for one in workers for database in install.task_databases(one, fleet)} == set(LEDGER_DATABASES)
