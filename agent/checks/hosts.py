"""/etc/hosts of a server of the application: whether pgleap can replace it, and whether somebody else will."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Optional

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.files import irreplaceable
from agent.checks.sight import Sight
from agent.hosts_file import HOSTS, RECORD

CLOUD_CONFIG = "/etc/cloud/cloud.cfg"
CLOUD_FOLDER = "/etc/cloud/cloud.cfg.d"
# What the instance's user data say, merged: last, so it wins.
CLOUD_INSTANCE = "/var/lib/cloud/instance/cloud-config.txt"
# Whose header says that the file is theirs. cloud-init's stays in the file for ever, so its configuration is asked instead.
OWNERS = re.compile(
    r"(?i)(?:managed|generated|maintained|controlled)\s+(?:automatically\s+)?(?:by|with)\s+(puppet|chef|ansible|salt\w*|cfengine|augeas)"
    r"|\b(ansible|puppet|chef|salt)[ -]managed"
)


def lines(sight: Sight) -> Dict[str, List[str]]:
    """Name, in small letters -> its addresses in /etc/hosts, in their order."""
    found: Dict[str, List[str]] = {}
    for line in (sight.text(HOSTS) or "").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            listed = found.setdefault(name.lower(), [])
            if address not in listed:
                listed.append(address)
    return found


def _hosts_file(sight: Sight) -> List[str]:
    return [*_irreplaceable(sight), *_broken_record(sight), *_named_twice(sight)]


def _irreplaceable(sight: Sight) -> Iterator[str]:
    """What a file put in its place by rename would fail over."""
    path = sight.server.path(HOSTS)
    if path.is_symlink():
        yield f"{HOSTS} is a link to {path.readlink()}"
    elif not path.is_file():
        yield f"{HOSTS} is {'no plain file' if path.exists() else 'not there'}"
    yield from irreplaceable(sight, HOSTS)


def _broken_record(sight: Sight) -> Iterator[str]:
    """pgleap's own memory of what the file was before it came."""
    try:
        found = sight.server.read_json(RECORD)
        why = "keys are missing" if found and not {"before", "drafts", "reload owed"} <= found.keys() else ""
    except ValueError as wrong:
        why = str(wrong)
    if why:
        yield f"{RECORD}, by which pgleap puts {HOSTS} back, cannot be read ({why})"


def _named_twice(sight: Sight) -> Iterator[str]:
    listed = lines(sight)
    for name in sight.desired["names"]:
        addresses = listed.get(name.lower(), [])
        # One of each family may lead to the same server.
        if len({":" in address for address in addresses}) < len(addresses):
            yield f"{name} stands in {HOSTS} with {' and '.join(addresses)}"


def _hosts_rewritten(sight: Sight) -> List[str]:
    found = []
    by_cloud_init = _manage_etc_hosts(sight)
    if by_cloud_init is not None:
        found.append(f"cloud-init writes {HOSTS} anew at every boot (manage_etc_hosts in {by_cloud_init})")
    owner = OWNERS.search(sight.text(HOSTS) or "")
    if owner:
        found.append(f'{HOSTS} says that it is another tool\'s: "{owner.group(0)}"')
    return found


def _manage_etc_hosts(sight: Sight) -> Optional[str]:
    """The file that has cloud-init write the hosts file; None if none does, or cloud-init is switched off. `localhost` is about the
    server's own name alone."""
    if sight.server.path("/etc/cloud/cloud-init.disabled").exists():
        return None
    folder = sight.server.path(CLOUD_FOLDER)
    inside = sorted(f"{CLOUD_FOLDER}/{file.name}" for file in folder.glob("*.cfg")) if folder.is_dir() else []
    value, where = "", ""
    for file in (CLOUD_CONFIG, *inside, CLOUD_INSTANCE):
        for given in re.findall(
            r"(?m)^[ \t]*['\"]?manage_etc_hosts['\"]?[ \t]*:[ \t]*['\"]?(\w+)", sight.text(file) or ""
        ):
            value, where = given.lower(), file
    return where if value in ("true", "yes", "on", "template") else None


CHECKS = (
    Check(
        name=CheckName.HOSTS_FILE,
        severity=Severity.REFUSE,
        sides=(Side.SERVER,),
        why="its names are moved by replacing this file; a server that stays behind writes nothing from the seal on",
        do="make it a plain file of the server's own: chattr -ia /etc/hosts, umount the mount, make room, one line for each name",
        look=_hosts_file,
    ),
    Check(
        name=CheckName.HOSTS_REWRITTEN,
        severity=Severity.WARN,
        sides=(Side.SERVER,),
        why="what writes the file anew leads the names back to the old primary, which refuses writes",
        do="set manage_etc_hosts: false in /etc/cloud/cloud.cfg.d/99-hosts.cfg, pause the tool for the upgrade, and give it the new"
        " addresses afterwards",
        look=_hosts_rewritten,
    ),
)
