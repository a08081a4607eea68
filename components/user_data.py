"""What an instance is told at its first boot, as cloud-init's user data. Pure, but for the script that it reads beside this file.

Written as JSON, which is YAML: cloud-init reads it, and nothing has to be quoted by hand. What the keys mean: cloud-init's
documentation, "Module reference" (SSH, Users and groups, Write files, Runcmd).

The private host key is in it, so that the first connection is verified already. Whoever may read the user data of the instance may
pretend to be it: on the instance only through IMDSv2 (root, in effect), elsewhere with `ec2:DescribeInstanceAttribute`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from components.settings import Layout, Settings

FIRST_BOOT = "/usr/local/sbin/pgleap-first-boot"
# Where PostgreSQL's packages put their data, whatever the version: the data volume is mounted there.
MOUNTS = {Layout.DEBIAN: "/var/lib/postgresql", Layout.RHEL: "/var/lib/pgsql"}
BINS = {Layout.DEBIAN: "/usr/lib/postgresql/{}/bin", Layout.RHEL: "/usr/pgsql-{}/bin"}


@dataclass(frozen=True)
class FirstBoot:
    """What tells one server's first boot from another's: the layout, the data volume's size in GiB, PostgreSQL's versions, old and
    new, the user that logs in, and the public host key (type and key)."""

    layout: Layout
    volume_gib: int
    versions: tuple[int, int]
    user: str
    host_key: str

    @property
    def mount(self) -> str:
        """Where the data volume is mounted."""
        return MOUNTS[self.layout]


def user_data(boot: FirstBoot, host_private_key: str) -> str:
    """The user data: text that begins with #cloud-config. EC2 takes 16 KiB of it.

    The user is the image's own one under another name: it gets the instance's key pair, and sudo (cloud-init, "Users and groups").
    """
    config: dict[str, Any] = {
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": f"{host_private_key.strip()}\n", "ed25519_public": f"{boot.host_key}\n"},
        "user": {"name": boot.user},
        "write_files": [{"path": FIRST_BOOT, "permissions": "0755", "content": _first_boot()}],
        "runcmd": [[FIRST_BOOT, boot.layout.value, boot.mount, str(boot.volume_gib), *map(str, boot.versions)]],
    }
    return f"#cloud-config\n{json.dumps(config, indent=1)}\n"


def programs(settings: Settings) -> list[str]:
    """The servers of both versions, which the first boot installs, or which the image has where the stack says."""
    places = ((settings.versions.old, settings.postgres.old), (settings.versions.new, settings.postgres.new))
    return [f"{place.bin or BINS[settings.postgres.layout].format(version)}/postgres" for version, place in places]


@cache
def _first_boot() -> str:
    return Path(__file__).with_suffix(".sh").read_text()
