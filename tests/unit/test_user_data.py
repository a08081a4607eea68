"""The first boot: what cloud-init is told, and what the two scripts do on a machine that is not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from components.settings import Layout, Settings
from components.user_data import BINS, FIRST_BOOT, FirstBoot, programs, user_data
from tests.unit.example_config import config_on_ec2, private_key, public_half

COMPONENTS = Path(__file__).resolve().parents[2] / "components"
BOOT = FirstBoot(Layout.DEBIAN, 500, (15, 17), "deploy", public_half("db-a"))
GIB = 1024**3


def told(boot: FirstBoot = BOOT, key: str = "") -> dict[str, object]:
    text = user_data(boot, key or private_key("db-a"))
    assert text.startswith("#cloud-config\n")
    found: dict[str, object] = yaml.safe_load(text)
    return found


def test_the_host_key_is_the_only_one() -> None:
    """A key that the image made itself would be another one than the stack knows: no step would ever get in."""
    assert told()["ssh_deletekeys"] is True
    keys = told(key=private_key("db-a").strip())["ssh_keys"]
    assert isinstance(keys, dict)
    # OpenSSH does not read a private key without the line end that secrets lose on their way.
    assert keys == {"ed25519_private": private_key("db-a"), "ed25519_public": f"{public_half('db-a')}\n"}


@pytest.mark.parametrize(("layout", "mount"), [(Layout.DEBIAN, "/var/lib/postgresql"), (Layout.RHEL, "/var/lib/pgsql")])
def test_the_first_boot_is_given_the_stacks_own_words(layout: Layout, mount: str) -> None:
    """The volume mounted elsewhere leaves the database on the root disk."""
    boot = FirstBoot(layout, 900, (14, 18), "deploy", public_half("db-a"))
    assert told(boot)["runcmd"] == [[FIRST_BOOT, layout.value, mount, "900", "14", "18"]]
    assert told(boot)["user"] == {"name": "deploy"}
    assert told(boot)["write_files"] == [
        {"path": FIRST_BOOT, "permissions": "0755", "content": (COMPONENTS / "user_data.sh").read_text()}
    ]


def test_it_is_no_longer_than_ec2_takes() -> None:
    """EC2 refuses user data of more than 16 KiB, and the first one to notice would be an operator."""
    assert len(user_data(BOOT, private_key("db-a")).encode()) < 14 * 1024


def test_what_must_be_there_is_where_the_stack_has_it() -> None:
    """A check of the packages' own folder refuses an image whose PostgreSQL lies elsewhere."""
    raw = config_on_ec2()
    assert programs(Settings.from_config(raw)) == [
        "/usr/lib/postgresql/15/bin/postgres",
        "/usr/lib/postgresql/17/bin/postgres",
    ]
    raw["postgres"] = {"layout": "rhel", "new": {"bin": "/opt/pg17/bin"}}
    assert programs(Settings.from_config(raw)) == [f"{BINS[Layout.RHEL].format(15)}/postgres", "/opt/pg17/bin/postgres"]


class Machine:
    """A PATH with the tools that the scripts call, each of which writes down how it was called; `disks` is what lsblk finds."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        self.mount = folder / "mount"
        self.mount.mkdir()
        for tool in ("sh", "grep", "cat", "wc", "tail", "echo", "mkdir", "sed"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        for tool in ("mkfs.xfs", "udevadm", "systemctl", "mount", "chown", "find", "sleep"):
            self.tool(tool)
        self.tool("mountpoint", "exit 1")
        self.tool("blkid", f"grep -q mkfs {self.log}")
        self.tool("wipefs", "exit 0")

    def tool(self, name: str, does: str = "exit 0") -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.log}\n{does}\n')
        path.chmod(0o755)

    def disks(self, **disks: tuple[int, str, int]) -> None:
        """Name -> size in bytes, model, and how many partitions it has."""
        lines = "".join(f"echo /dev/{name} disk {size}\n" for name, (size, _, _) in disks.items())
        models = "".join(f"*MODEL*/dev/{name}) echo '{model}' ;;\n" for name, (_, model, _) in disks.items())
        parts = "".join(f"*/dev/{name}) {'echo x;' * (1 + count)} ;;\n" for name, (_, _, count) in disks.items())
        self.tool("lsblk", f'case "$*" in *NAME,TYPE,SIZE*) {lines} ;;\n{models}{parts} esac')

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        return subprocess.run(
            ["sh", COMPONENTS / script, *arguments],
            env={"PATH": str(self.bin), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def called(self, tool: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(f"{tool} ")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


EBS, STORE = "Amazon Elastic Block Store", "Amazon EC2 NVMe Instance Storage"
ROOT = (8 * GIB, EBS, 2)


def wait_alone(machine: Machine) -> subprocess.CompletedProcess[str]:
    """The part of the first boot that finds and formats the disk, in a script of its own: the rest writes to /etc."""
    text = (COMPONENTS / "user_data.sh").read_text()
    functions = text[: text.index('\nmount_volume "$@"\n')].replace("disk_seconds=600", "disk_seconds=4")
    alone = machine.bin.parent / "alone.sh"
    alone.write_text(f"{functions}\nwait_for_volume\n")
    machine.log.write_text("")
    return subprocess.run(
        ["sh", alone, "debian", str(machine.mount), "500", "15", "17"],
        env={"PATH": str(machine.bin), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_empty_disk_of_the_volumes_size_is_formatted(machine: Machine) -> None:
    """Formatting the root disk, or one that loses its content when the server stops, is the end of a database."""
    machine.disks(nvme0n1=ROOT, nvme1n1=(500 * GIB, EBS, 0), nvme2n1=(500 * GIB, STORE, 0), nvme3n1=(100 * GIB, EBS, 0))
    done = wait_alone(machine)
    assert done.returncode == 0, done.stderr
    assert machine.called("mkfs.xfs") == ["mkfs.xfs -L pgleap-data /dev/nvme1n1"]


def test_a_formatted_volume_is_left_alone(machine: Machine) -> None:
    """The volume of an instance that was replaced holds the database."""
    machine.tool("blkid", "exit 0")
    machine.disks(nvme0n1=ROOT, nvme1n1=(500 * GIB, EBS, 0))
    assert wait_alone(machine).returncode == 0
    assert machine.called("mkfs.xfs") == []


def test_a_disk_with_anything_on_it_is_left_alone(machine: Machine) -> None:
    """Of the right size, and somebody's."""
    machine.tool("wipefs", "echo 0x0 ext4")
    machine.disks(nvme0n1=ROOT, nvme1n1=(500 * GIB, EBS, 0))
    done = wait_alone(machine)
    assert done.returncode == 1
    assert "no disk is labelled pgleap-data" in done.stderr
    assert machine.called("mkfs.xfs") == []


def test_of_two_empty_disks_none_is_formatted(machine: Machine) -> None:
    """One of them is not the volume."""
    machine.disks(nvme0n1=ROOT, nvme1n1=(500 * GIB, EBS, 0), nvme2n1=(500 * GIB, EBS, 0))
    done = wait_alone(machine)
    assert done.returncode == 1
    assert "found several: /dev/nvme1n1\n/dev/nvme2n1" in done.stderr
    assert machine.called("mkfs.xfs") == []


def test_where_all_is_there_the_first_boot_changes_nothing(machine: Machine) -> None:
    """Run again by hand, or by cloud-init: an installed server would be upgraded, restarted, or formatted."""
    machine.tool("mountpoint")
    text = (COMPONENTS / "user_data.sh").read_text()
    there = machine.bin.parent / "there.sh"
    there.write_text(text.replace("/usr/lib/postgresql/$version/bin/postgres", "/bin/sh"))
    machine.log.write_text("")
    done = subprocess.run(
        ["sh", there, "debian", str(machine.mount), "500", "15", "17"],
        env={"PATH": str(machine.bin)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in machine.log.read_text().splitlines()} == {"mountpoint", "chown", "find"}


def test_the_first_contact_waits_for_cloud_init_and_looks_for_itself(machine: Machine) -> None:
    """An agent that is delivered before the packages are there fails in PostgreSQL's words, hours later."""
    machine.tool("mountpoint")
    machine.tool("cloud-init", "exit 2")
    done = machine.run("boot.sh", "/var/lib/postgresql", "/bin/sh")
    assert done.returncode == 0
    assert json.loads(done.stdout)["changed"] == []
    assert machine.called("cloud-init")[0] == "cloud-init status --wait"


@pytest.mark.parametrize(
    ("mounted", "program", "says"),
    [
        (False, "/bin/sh", "Found: nothing mounted there"),
        (True, "/usr/lib/postgresql/99/bin/postgres", "Expected /usr/lib/postgresql/99/bin/postgres. Found: no such"),
    ],
)
def test_the_first_contact_refuses_what_is_missing(machine: Machine, mounted: bool, program: str, says: str) -> None:
    """Without the volume the database would fill the root disk."""
    machine.tool("mountpoint", "exit 0" if mounted else "exit 1")
    machine.tool("cloud-init", "echo status: error; exit 1")
    done = machine.run("boot.sh", "/var/lib/postgresql", program)
    assert done.returncode == 1
    assert says in done.stderr
    assert "cloud-init-output.log" in done.stderr


def test_scripts_are_as_the_shell_checker_wants_them() -> None:
    """Nobody runs these by hand before they run as root on a new database."""
    checker = shutil.which("shellcheck")
    if checker is None:
        assert "CI" not in os.environ
        pytest.skip("no shellcheck on this machine")
    subprocess.run([checker, "-s", "sh", COMPONENTS / "user_data.sh", COMPONENTS / "boot.sh"], check=True)
