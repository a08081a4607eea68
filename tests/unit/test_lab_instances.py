"""EC2 in the lab: user data is done as cloud-init does it, on hosts at the lab's addresses. Without a lab."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from components.settings import Layout, Settings
from components.user_data import FIRST_BOOT, FirstBoot, user_data
from rehearsal import operator_stack
from rehearsal.lab import cloud_init, keys, network
from rehearsal.lab.fleet import FLEET
from rehearsal.lab.hosts import Host
from rehearsal.lab.instances import LabMachines
from rehearsal.lab.place import LabError, Place
from rehearsal.plugins.cloud import MachineError
from tests.unit.example_config import host_key, private_key, public_half

TOLD = user_data(FirstBoot(Layout.DEBIAN, 20, (15, 17), "deploy", public_half("db-a")), private_key("db-a"))


class Recorder:
    """A machine that keeps what was done on it."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, int]] = {}
        self.ran: list[list[str]] = []

    def run(self, argv: list[str]) -> str:
        self.ran.append(argv)
        return ""

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        self.files[path] = (content, mode)


def test_the_products_user_data_is_understood_whole() -> None:
    """A key of it that the lab leaves out has been rehearsed by nobody."""
    config = cloud_init.read(TOLD)
    machine = Recorder()
    cloud_init.at_boot(machine, config)
    assert machine.files[FIRST_BOOT][1] == 0o755
    script, _ = machine.files["/var/lib/cloud/instance/scripts/runcmd"]
    assert f"{FIRST_BOOT} debian /var/lib/postgresql 20 15 17\n" in script
    assert machine.ran[0][0] == "systemd-run"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("#!/bin/sh\n", "begins with #cloud-config"),
        ("#cloud-config\npackages: [x]\n", "does not know packages"),
        ("#cloud-config\nuser: {name: admin}\n", "the image's user is deploy"),
    ],
)
def test_user_data_that_the_lab_cannot_do_is_refused(given: str, says: str) -> None:
    """Passed over, it would look rehearsed."""
    with pytest.raises(cloud_init.UserDataError, match=says):
        cloud_init.read(given)


def test_the_host_key_is_there_before_sshd_and_no_other(tmp_path: Path) -> None:
    """With the key that the lab itself would give the host, a wrong one in the user data would not show."""
    ssh = tmp_path / "etc/ssh"
    ssh.mkdir(parents=True)
    for name in ("ssh_host_ed25519_key", "ssh_host_rsa_key", "sshd_config"):
        (ssh / name).write_text("the image's")
    cloud_init.before_boot(tmp_path, cloud_init.read(TOLD))
    assert sorted(path.name for path in ssh.iterdir()) == [
        "ssh_host_ed25519_key",
        "ssh_host_ed25519_key.pub",
        "sshd_config",
    ]
    assert (ssh / "ssh_host_ed25519_key").read_text() == private_key("db-a")
    assert (ssh / "ssh_host_ed25519_key").stat().st_mode & 0o77 == 0
    assert "/var/lib/postgresql /var/lib/postgresql none bind" in (tmp_path / "etc/fstab").read_text()


@pytest.mark.parametrize("failed", [False, True])
def test_waiting_ends_with_the_first_boot_and_tells_how_it_went(tmp_path: Path, failed: bool) -> None:
    """A first contact that does not wait, or takes a failed boot for a good one, proves nothing in the lab."""
    program = cloud_init.PROGRAM.replace(cloud_init.INSTANCE, str(tmp_path))
    waiting = subprocess.Popen(["sh", "-c", program], stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.5)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/runcmd").write_text(f"exit {int(failed)}\n")
    run = cloud_init.RUN.replace(cloud_init.INSTANCE, str(tmp_path)).replace("/var/log", str(tmp_path))
    subprocess.run(["sh", "-c", run], check=True)
    said, _ = waiting.communicate(timeout=20)
    assert (said.strip(), waiting.returncode) == (("status: error", 1) if failed else ("status: done", 0))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would be done with hosts, in order."""
    said: list[str] = []
    monkeypatch.setattr(network, "up", lambda servers: said.append(f"network of {servers[0].name}"))
    monkeypatch.setattr(Host, "boot", lambda host, at_first: said.append(f"boot {host.name}"))
    monkeypatch.setattr(Host, "remove", lambda host: said.append(f"remove {host.name}"))
    monkeypatch.setattr(cloud_init, "at_boot", lambda host, _: said.append(f"first boot of {host.name}"))
    return said


def test_an_instance_is_the_host_at_its_address(done: list[str], tmp_path: Path) -> None:
    """Another one's address would boot another server."""
    machines = LabMachines(Place(tmp_path))
    asyncio.run(machines.start("10.77.0.15", TOLD))
    asyncio.run(machines.stop("10.77.0.15"))
    assert done == ["network of db-c", "boot db-c", "first boot of db-c", "remove db-c"]


@pytest.mark.parametrize("address", ["10.77.0.11", "10.0.0.1"])
def test_no_other_host_of_the_lab_is_made_or_ended(address: str, done: list[str], tmp_path: Path) -> None:
    """A mistyped address would shut the primary down."""
    machines = LabMachines(Place(tmp_path))
    for what in (machines.start(address, TOLD), machines.stop(address)):
        with pytest.raises(MachineError, match=r"expected one of 10\.77\.0\.14"):
            asyncio.run(what)
    assert done == []


def test_a_host_that_does_not_boot_is_told(monkeypatch: pytest.MonkeyPatch, done: list[str], tmp_path: Path) -> None:
    """An exception that nobody turns into an answer hangs the engine."""

    def fails(host: Host, at_first: object) -> None:
        raise LabError("nobody could log in")

    monkeypatch.setattr(Host, "boot", fails)
    with pytest.raises(MachineError, match="nobody could log in"):
        asyncio.run(LabMachines(Place(tmp_path)).start("10.77.0.14", TOLD))
    with pytest.raises(MachineError, match="does not know"):
        asyncio.run(LabMachines(Place(tmp_path)).start("10.77.0.14", "#cloud-config\nnew: 1\n"))


def test_the_operators_stack_makes_what_the_lab_leaves_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that neither boots is missing for ten minutes, and then the rehearsal fails."""
    monkeypatch.setattr(keys, "host_key", lambda place, server: host_key(server.name))
    config = {key.removeprefix("pgleap:"): value for key, value in operator_stack.config(Place(tmp_path)).items()}
    settings = Settings.from_config(
        {**config, "phase": "prepare", "round": 1, "password": "x", "replicationPassword": "y"}
    )
    by_stack = {server.name for server in settings.servers.values() if server.instance}
    assert by_stack == {server.name for server in FLEET if server.instance} == {"db-a", "db-c", "db-d"}
    assert {one.name: one.takes_over for one in settings.new_replicas} == {"db-c": "db2", "db-d": "db3"}
