"""Ansible, pyinfra and plain ssh: each as one command, begun anew for each change, without anything left of the one before."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rehearsal.bench.hosts_files import rendering
from rehearsal.bench.hosts_files.figures import Took
from rehearsal.bench.hosts_files.light import Light
from rehearsal.lab import keys, processes
from rehearsal.lab.fleet import Server
from rehearsal.lab.place import LabError

_SECONDS = 600.0


class Ansible:
    """ansible-playbook with one play of one task."""

    # Ansible's own default is 5. Not yet tried against others on a quiet machine.
    forks = 20

    def __init__(self, light: Light, programs: Path) -> None:
        self._light, self._programs = light, programs
        self._folder = light.place.root / "ansible"
        self._folder.mkdir()
        (self._folder / "playbook.yml").write_text(rendering.ansible_playbook(light.fleet.names))

    def lead(self, servers: Sequence[Server], address: str) -> Took:
        """See Tool."""
        inventory, settings = self._folder / "inventory.yml", self._folder / "ansible.cfg"
        inventory.write_text(rendering.ansible_inventory(servers))
        settings.write_text(rendering.ansible_configuration(keys.config(self._light.place), self.forks))
        # Connections that the command before left open would be a start that no window has. The path of a socket must be short.
        with tempfile.TemporaryDirectory(prefix="pgleap-") as sockets:
            variables = {
                "ANSIBLE_CONFIG": str(settings),
                "ANSIBLE_HOME": str(self._folder / "home"),
                "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets,
            }
            try:
                playbook: list[str | Path] = [
                    self._programs / "ansible-playbook",
                    "-i",
                    inventory,
                    self._folder / "playbook.yml",
                ]
                return _timed(self._light, [*playbook, "--extra-vars", f"address={address}"], variables)
            finally:
                _end_connections(Path(sockets))


class Pyinfra:
    """pyinfra with one operation, on all hosts at once, as it does by default."""

    def __init__(self, light: Light, programs: Path) -> None:
        self._light, self._programs = light, programs
        self._folder = light.place.root / "pyinfra"
        self._folder.mkdir()
        known = (light.place.ssh / "known_hosts").read_text().splitlines()
        (self._folder / "known_hosts").write_text(rendering.known_by_address(known))

    def lead(self, servers: Sequence[Server], address: str) -> Took:
        """See Tool."""
        inventory, deploy = self._folder / "inventory.py", self._folder / "deploy.py"
        key = keys.private_key(self._light.place)
        inventory.write_text(rendering.pyinfra_inventory(servers, key, self._folder / "known_hosts"))
        deploy.write_text(rendering.pyinfra_deploy(self._light.fleet.names, address))
        return _timed(self._light, [self._programs / "pyinfra", "--yes", inventory, deploy], {}, folder=self._folder)


class PlainSsh:
    """An `ssh` for each host, many at once by xargs: the least that there is between a change and all hosts."""

    # Not yet tried against others on a quiet machine.
    at_once = 40

    def __init__(self, light: Light) -> None:
        self._light = light

    def lead(self, servers: Sequence[Server], address: str) -> Took:
        """See Tool."""
        command = rendering.sed(self._light.fleet.names, address)
        ssh = ("ssh", "-F", str(keys.config(self._light.place)), *rendering.SSH_OPTIONS, "-n", "{}", command)
        names = "".join(f"{server.name}\n" for server in servers)
        return _timed(self._light, ["xargs", "-P", str(self.at_once), "-I", "{}", *ssh], {}, stdin=names)


class SshAgent:
    """The same, and what is run on each host is pgleap's own verb, as its step runs it: the limit that ssh sets to that."""

    at_once = PlainSsh.at_once

    def __init__(self, light: Light) -> None:
        self._light = light
        self._folder = light.place.root / "ssh-agent-verb"
        self._folder.mkdir()

    def lead(self, servers: Sequence[Server], address: str) -> Took:
        """See Tool. The agent must be installed."""
        for server in servers:
            (self._folder / server.name).write_text(rendering.agent_asked(server, self._light.fleet.names, address))
        ssh = shlex.join(("ssh", "-F", str(keys.config(self._light.place)), *rendering.SSH_OPTIONS))
        one = f'{ssh} "$1" {shlex.quote(rendering.AGENT_COMMAND)} < {shlex.quote(str(self._folder))}/"$1"'
        names = "".join(f"{server.name}\n" for server in servers)
        argv = ["xargs", "-P", str(self.at_once), "-I", "{}", "sh", "-c", one, "sh", "{}"]
        return _timed(self._light, argv, {}, stdin=names)


def _timed(
    light: Light, argv: Sequence[str | Path], variables: Mapping[str, str], stdin: str = "", folder: Path | None = None
) -> Took:
    """The whole command. Raises LabError with the end of what it said when it fails."""
    words = [str(word) for word in argv]
    environment = {**os.environ, **variables, **processes.mark(light.place)}
    began = time.monotonic()
    done = subprocess.run(
        words, input=stdin, capture_output=True, text=True, check=False, env=environment, cwd=folder, timeout=_SECONDS
    )
    took = time.monotonic() - began
    if done.returncode != 0:
        said = rendering.said(done.stderr + done.stdout)
        raise LabError(
            f"{Path(words[0]).name} was expected to succeed; it ended with {done.returncode} and said: {said}"
        )
    return Took(seconds=took)


def _end_connections(sockets: Path) -> None:
    """End what ControlPersist keeps; a socket whose connection has ended is only a file."""
    for socket in sockets.iterdir():
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "-"], capture_output=True, check=False)
