"""What cloud-init does at a first boot, as far as pgleap's user data asks for it; the image has no cloud-init.

A key of the user data that is not known here is an error: it would have been rehearsed by nobody. The data volume is not to be had in
a host, which gets no block device: its mount point is a bind mount of the folder onto itself, which the first boot finds mounted.
So formatting a disk is not rehearsed, nor is installing packages: the image has both versions, and the first boot finds them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from rehearsal.lab.fleet import USER

HEADER = "#cloud-config\n"
INSTANCE = "/var/lib/cloud/instance"
MOUNT = "/var/lib/postgresql"
KEY_FILE = "etc/ssh/ssh_host_ed25519_key"
# As the real one waits: `cloud-init status --wait` ends once the first boot has, with 1 if it failed.
PROGRAM = f"""#!/bin/sh
while [ ! -e {INSTANCE}/boot-finished ]; do sleep 0.2; done
if [ -e {INSTANCE}/failed ]; then echo 'status: error'; exit 1; fi
echo 'status: done'
"""
RUN = f"""set -u
sh {INSTANCE}/scripts/runcmd >/var/log/cloud-init-output.log 2>&1 || touch {INSTANCE}/failed
touch {INSTANCE}/boot-finished
"""


class Machine(Protocol):
    """A host that is up; see hosts.Host."""

    def run(self, argv: list[str]) -> str: ...

    def write(self, path: str, content: str, mode: int = 0o644) -> None: ...


class UserDataError(Exception):
    """The user data asks for what is not done here; the message says what."""


def read(user_data: str) -> dict[str, Any]:
    """The user data as data. Raises UserDataError."""
    if not user_data.startswith(HEADER):
        raise UserDataError(f"expected user data that begins with {HEADER.strip()}, found {user_data[:20]!r}")
    config: dict[str, Any] = yaml.safe_load(user_data)
    if unknown := config.keys() - {"ssh_deletekeys", "ssh_keys", "user", "write_files", "runcmd"}:
        raise UserDataError(f"the lab's stand-in for cloud-init does not know {', '.join(sorted(unknown))}")
    if config["user"]["name"] != USER:
        raise UserDataError(f"the image's user is {USER}, and the user data asks for {config['user']['name']}")
    return config


def before_boot(root: Path, config: Mapping[str, Any]) -> None:
    """What comes before sshd: the host key, and no other. `root` is the host's."""
    if config["ssh_deletekeys"]:
        for path in (root / "etc/ssh").glob("ssh_host_*key*"):
            path.unlink()
    key = root / KEY_FILE
    key.touch(0o600)
    key.write_text(config["ssh_keys"]["ed25519_private"])
    Path(f"{key}.pub").write_text(config["ssh_keys"]["ed25519_public"])
    with (root / "etc/fstab").open("a") as fstab:
        fstab.write(f"{MOUNT} {MOUNT} none bind 0 0\n")


def at_boot(machine: Machine, config: Mapping[str, Any]) -> None:
    """What comes after: files, then commands, which go on when this ends, as they do on EC2."""
    machine.write("/usr/local/bin/cloud-init", PROGRAM, mode=0o755)
    for file in config["write_files"]:
        machine.write(file["path"], file["content"], mode=int(file["permissions"], 8))
    commands = "".join(f"{shlex.join(command)}\n" for command in config["runcmd"])
    machine.write(f"{INSTANCE}/scripts/runcmd", f"#!/bin/sh\nset -e\n{commands}", mode=0o700)
    machine.run(["systemd-run", "--quiet", "--collect", "--unit=cloud-final", "sh", "-c", RUN])
