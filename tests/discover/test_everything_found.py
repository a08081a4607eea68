"""A fleet whose tags tell everything: the config that is printed is one that the program takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from moto.server import ThreadedMotoServer

from components.settings import Settings
from tests.discover.conftest import Discover
from tests.discover.fleet import OPERATORS, REGION, Fleet
from tests.unit.example_config import host_key

REPOSITORY = Path(__file__).parents[2]


def whole(fleet: Fleet) -> Fleet:
    fleet.old_databases()
    fleet.new_databases()
    fleet.servers()
    fleet.let_ssh_in(OPERATORS, "0.0.0.0/0")
    return fleet


def test_the_config_is_taken_and_is_this_fleets(fleet: Fleet, discover: Discover) -> None:
    """A config that is printed with exit status 0 and then refused, or that is about other servers, is worse than none."""
    whole(fleet)
    by_id = fleet.target_group("by-id", "instance", fleet.ids["web3"], fleet.ids["web1"])
    by_address = fleet.target_group("by-address", "ip", "10.20.1.24")
    fleet.target_group("empty", "instance")

    printed = discover()
    assert printed.status == 0, printed.stderr
    settings = Settings.from_config({**printed.config, "password": "x", "replicationPassword": "y"})

    assert (settings.phase, settings.round) == ("prepare", 1)
    assert (settings.versions.old, settings.versions.new) == (15, 17)
    assert {server.name: (server.role.value, server.address) for server in settings.servers.values()} == {
        "db1": ("primary", "10.20.0.11"),
        "db2": ("replica", "10.20.0.12"),
        "db3": ("replica", "10.20.1.13"),
        "db-a": ("target", "10.20.0.14"),
        "db-c": ("new-replica", "10.20.0.15"),
        "db-d": ("new-replica", "10.20.1.16"),
        "web1": ("online", "10.20.1.21"),
        "web2": ("online", "10.20.1.22"),
        "web3": ("drained", "10.20.1.23"),
        "web4": ("drained", "10.20.1.24"),
        "worker1": ("worker", "10.20.1.31"),
    }
    servers = settings.servers
    assert servers["db1"].host_key == host_key("DB 1")
    assert servers["web2"].host_key == host_key("web2")
    assert servers["db1"].instance_id == fleet.ids["DB 1"]
    assert servers["db2"].instance_id == fleet.ids["db2"]
    assert servers["web3"].instance_id == fleet.ids["web3"]
    assert servers["web3"].target_groups == (by_id,)
    assert servers["web4"].target_groups == (by_address,)
    assert servers["worker1"].tasks == ("celery.service", "celerybeat.service")
    assert servers["web1"].reload == "systemctl reload app: now"
    assert (servers["db-c"].takes_over, servers["db-d"].takes_over) == ("db2", "db3")
    assert not any(server.instance for server in servers.values())
    assert settings.names == {
        "db1.internal.ln": "db1",
        "db.internal.ln": "db1",
        "db2.internal.ln": "db2",
        "db3.internal.ln": "db3",
    }
    assert settings.ssh.user == "deploy"
    assert settings.aws is not None
    assert (settings.aws.region, settings.aws.vpc_id) == (REGION, fleet.vpc)
    assert settings.aws.ssh_from == (OPERATORS,)
    assert set(settings.aws.fleet_groups) == {fleet.databases, fleet.clients}


def test_reads_go_to_the_replica_in_the_online_servers_zone(fleet: Fleet, discover: Discover) -> None:
    """Each read of the window would cross zones, which nobody sees until the bill and the latency come."""
    whole(fleet)
    printed = discover()
    assert printed.config["readsFrom"] == "db3"
    assert "# 2 of 2 online servers are in its zone, eu-central-1b." in printed.stdout


def test_the_bastion_is_where_ssh_comes_from(fleet: Fleet, discover: Discover) -> None:
    """DB_A's security group that lets in the world's SSH, or the databases' own networks, though everything goes by the bastion."""
    whole(fleet)
    fleet.launch("gate", "bastion", "10.20.1.5")
    printed = discover()
    settings = Settings.from_config({**printed.config, "password": "x", "replicationPassword": "y"})
    assert settings.aws is not None
    assert settings.aws.ssh_from == ("10.20.1.5/32",)
    assert settings.ssh.bastion is not None
    assert settings.ssh.bastion.host_key == host_key("gate")
    assert "gate" not in settings.servers


def test_every_page_is_read(fleet: Fleet, discover: Discover) -> None:
    """A server on the second page would be left out of the fleet, and write to the sealed primary all night."""
    whole(fleet)
    for number in range(100):
        fleet.launch(f"more{number}", "online", f"10.20.1.{100 + number}")
    printed = discover()
    assert printed.status == 0, printed.stderr
    assert len(printed.config["servers"]) == 111


def test_the_command_line_against_a_server(discover: Discover, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people type: YAML alone on stdout, so that it can go to a file, and everything else on stderr."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        whole(Fleet(f"http://{host}:{port}"))
        command = [
            sys.executable,
            "-m",
            "scripts.discover",
            "--region",
            REGION,
            "--endpoint-url",
            f"http://{host}:{port}",
        ]
        done = subprocess.run(
            [*command, "--ssh-user", "deploy"], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
        )
        without_user = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(done.stdout)["config"]
    assert config["pgleap:servers"]["db1"]["hostKey"] == host_key("DB 1")
    assert "pulumi config set --secret password" in done.stderr
    assert without_user.returncode == 1
    assert "pgleap:ssh" in without_user.stderr
    assert "pgleap:ssh" not in yaml.safe_load(without_user.stdout)["config"]
