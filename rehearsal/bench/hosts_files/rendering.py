"""What each of the other tools is given, as one who knows it well would write it: its inventory, and the one change. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from agent.states import Hosts, Verb
from components.agent_program import INSTALLED, SUDO
from rehearsal.lab.fleet import USER, Server

HOSTS = "/etc/hosts"
# What OpenSSH 9.2 agrees on by itself takes its client 0.1 s of a processor for each connection, this a sixth (measured, 115 and 17 ms).
SSH_OPTIONS = ("-o", "KexAlgorithms=curve25519-sha256")
AGENT_COMMAND = f"{SUDO} {INSTALLED} {Verb.HOSTS_FILE.value}"
_ADDRESS = "[0-9a-f.:]+"


def pattern(names: Iterable[str], blank: str = "[[:blank:]]") -> str:
    """An extended regular expression: the address at the beginning of a line that holds one of the names first, and, kept, what follows it."""
    either = "|".join(re.escape(name) for name in names)
    return f"^{_ADDRESS}({blank}+({either}))"


def sed(names: Iterable[str], address: str) -> str:
    """The command that plain ssh runs."""
    change = f"s/{pattern(names)}/{address}\\1/"
    return f"sudo -n sed -i -E {shlex.quote(change)} {HOSTS}"


def agent_asked(server: Server, names: Iterable[str], address: str) -> str:
    """What pgleap's agent is given on its standard input."""
    led = dict.fromkeys(names, address)
    who = {"server": server.name, "address": server.address, "round": 0}
    return json.dumps({**who, "hosts": Hosts.MANAGED.value, "names": led})


def ansible_inventory(servers: Sequence[Server]) -> str:
    """YAML. How each is reached stands in the SSH client's configuration."""
    hosts = {server.name: {"ansible_host": server.address} for server in servers}
    # Named, or every host is searched for one.
    shared = {"ansible_user": USER, "ansible_python_interpreter": "/usr/bin/python3"}
    return yaml.safe_dump({"all": {"hosts": hosts, "vars": shared}}, sort_keys=False)


def ansible_playbook(names: Iterable[str]) -> str:
    """One task, without facts; `address` is an extra variable. One module for all names: a loop of lineinfile would run one for each."""
    replace = {
        "path": HOSTS,
        "regexp": "(?m)" + pattern(names, "[ \\t]"),
        "replace": "{{ address }}\\1",
    }
    task = {"name": "Database names lead elsewhere", "ansible.builtin.replace": replace}
    play = {"hosts": "all", "gather_facts": False, "become": True, "tasks": [task]}
    return yaml.safe_dump([play], sort_keys=False)


def ansible_configuration(ssh_config: Path, forks: int) -> str:
    """ansible.cfg: pipelining, connections kept as they are by default, as many hosts at once as `forks`."""
    return "\n".join(
        [
            "[defaults]",
            f"forks = {forks}",
            "gathering = explicit",
            "retry_files_enabled = False",
            "nocows = True",
            "[ssh_connection]",
            "pipelining = True",
            f"ssh_args = {shlex.join(('-F', str(ssh_config), *SSH_OPTIONS))} -o ControlMaster=auto -o ControlPersist=60s",
            "",
        ]
    )


def pyinfra_inventory(servers: Sequence[Server], key: Path, known_hosts: Path) -> str:
    """inventory.py."""
    shared = {
        "ssh_user": USER,
        "ssh_key": str(key),
        "ssh_known_hosts_file": str(known_hosts),
        "ssh_strict_host_key_checking": "yes",
        # Nothing of the operator's own.
        "ssh_config_file": "/dev/null",
        "ssh_look_for_keys": False,
        "ssh_allow_agent": False,
    }
    hosts = [(server.address, shared) for server in servers]
    return f"hosts = {hosts!r}\n"


def pyinfra_deploy(names: Iterable[str], address: str) -> str:
    """deploy.py: one operation."""
    given = {"path": HOSTS, "text": pattern(names), "replace": address + r"\1", "extended_regex": True, "_sudo": True}
    return f"from pyinfra.operations import files\n\nfiles.replace(name='Database names lead elsewhere', **{given!r})\n"


def known_by_address(lines: Iterable[str]) -> str:
    """known_hosts with addresses alone: pyinfra looks them up as it dials."""
    return "".join(line.split(",", 1)[1] + "\n" for line in lines if "," in line)


def said(text: str, longest: int = 2000) -> str:
    """The end of what a tool said, for an error."""
    return json.dumps(text[-longest:])
