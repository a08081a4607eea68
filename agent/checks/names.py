"""How a server of the application finds the databases: whether /etc/hosts is what its programs go by."""

from __future__ import annotations

import ipaddress
import re
import stat
from pathlib import Path
from typing import List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.hosts import lines
from agent.checks.sight import Sight
from agent.checks.wording import few
from agent.hosts_file import HOSTS

SWITCH = "/etc/nsswitch.conf"
# Services that may stand before `files`: they know of this server and its containers only, or read the file themselves.
HARMLESS = ("files", "myhostname", "mymachines", "resolve")
AT_ONCE = 8
# Units that may answer names of hosts from memory -> what to say of each.
CACHES = {
    "nscd.service": "nscd keeps names of hosts; pgleap empties it, and programs that talk to it see a change a moment later",
    "unscd.service": "unscd keeps names of hosts, and pgleap does not empty it",
    "dnsmasq.service": f"dnsmasq read {HOSTS} when it started, and gives that to whoever asks it by DNS",
    "unbound.service": "unbound answers by DNS, and knows nothing of the file",
}
# Nobody asks these for a name of the file where the file comes first.
BY_DNS = ("dnsmasq.service", "unbound.service")


def _services(sight: Sight) -> List[str]:
    """The services on the hosts line, in their order, without what is to be done on a failure."""
    found = re.search(r"(?m)^\s*hosts:([^#\n]*)", sight.text(SWITCH) or "")
    return re.sub(r"\[[^]]*\]", " ", found.group(1)).split() if found else []


def _name_resolution(sight: Sight) -> List[str]:
    services = _services(sight)
    before = services[: services.index("files")] if "files" in services else services
    found = [
        f"{file} can be read by its owner alone (mode {mode:o})"
        for file in (HOSTS, SWITCH)
        for mode in _modes(sight, file)
        if not mode & 0o4
    ]
    if not services:
        found.append(f"{SWITCH} has no line for hosts, so that the C library's own default decides")
    elif "files" not in services:
        found.append(f"{SWITCH} does not have `files` on the line for hosts: {' '.join(services)}")
    elif set(before) - set(HARMLESS):
        found.append(f"{SWITCH} asks {', '.join(before)} before `files`")
    names = list(sight.desired["names"])
    answers = sight.server.side_by_side(lambda name: _answers(name, sight), names, AT_ONCE)
    listed = lines(sight)
    for name, answered in zip(names, answers):
        wanted = str(ipaddress.ip_address(sight.desired["names"][name]))
        written = [_plain(address) for address in listed.get(name.lower(), [])]
        there = " and ".join(answered) or "nowhere"
        if not written:
            found.append(f"{name} does not stand in {HOSTS}; it leads {'to ' if answered else ''}{there}")
        elif set(answered) != set(written):
            found.append(f"{name} stands in {HOSTS} with {' and '.join(written)}, but leads to {there}")
        elif wanted not in answered:
            found.append(f"{name} leads to {there}; the stack has it lead to {wanted}")
    return few(found)


def _modes(sight: Sight, file: str) -> List[int]:
    """Its permissions, none if it is not there."""
    path = Path(sight.server.path(file))
    return [stat.S_IMODE(path.stat().st_mode)] if path.exists() else []


def _answers(name: str, sight: Sight) -> List[str]:
    """The addresses that an ordinary user's program on this server gets for a name, each once."""
    answered = sight.program("getent", "ahosts", name, user=sight.server.ordinary_user()).stdout.splitlines()
    return list(dict.fromkeys(_plain(line.split()[0]) for line in answered if line.strip()))


def _plain(address: str) -> str:
    """One way of writing it; as it is if it is none."""
    try:
        return str(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return address


def _resolver_cache(sight: Sight) -> List[str]:
    states = sight.program("systemctl", "is-active", *CACHES).stdout.split()
    running = [unit for unit, state in zip(CACHES, states) if state == "active"]
    services = _services(sight)
    behind = "files" in services[: [*services, "dns"].index("dns")]
    found = [
        CACHES[unit]
        for unit in running
        if not (unit in BY_DNS and behind) and (unit != "nscd.service" or _nscd_keeps_hosts(sight))
    ]
    if "resolve" in services and services.index("resolve") < [*services, "files"].index("files"):
        found.append(f"systemd-resolved answers before `files` ({SWITCH}), from memory or from {HOSTS}")
    if "sss" in services:
        found.append("sssd is asked for names of hosts, and keeps them")
    return found


def _nscd_keeps_hosts(sight: Sight) -> bool:
    given = re.findall(r"(?m)^\s*enable-cache\s+hosts\s+(\w+)", sight.text("/etc/nscd.conf") or "")
    return not given or given[-1] == "yes"


CHECKS = (
    Check(
        name=CheckName.NAME_RESOLUTION,
        severity=Severity.REFUSE,
        sides=(Side.SERVER,),
        why="a name that programs do not get from the hosts file does not move with it",
        do="put every name of pgleap:names on one line of /etc/hosts with the address it has today, `files` first on the hosts line of"
        " /etc/nsswitch.conf, both files readable for everybody (chmod 644); or mend pgleap:names",
        look=_name_resolution,
    ),
    Check(
        name=CheckName.RESOLVER_CACHE,
        severity=Severity.WARN,
        sides=(Side.SERVER,),
        why="what remembers a name leads clients to the old database for a while after it moved",
        do="switch it off for names of hosts, put `files` first in /etc/nsswitch.conf, or restart it in the server's reload"
        " (pgleap:servers)",
        look=_resolver_cache,
    ),
)
