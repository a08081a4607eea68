"""A server of the application, or a database's, as a folder and programs that tests write: what its checks find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.check_names import CheckName
from agent.checks import catalogue
from agent.checks.check import Result, Side, make
from agent.checks.sight import Sight
from agent.server import Completed
from tests.agent.fake_server import FakeServer

NAMES = {"db1.internal.ln": "10.77.0.11", "db2.internal.ln": "10.77.0.12"}
HOSTS = "127.0.0.1\tlocalhost\n\n10.77.0.11 db1.internal.ln db1\n10.77.0.12 db2.internal.ln\n"


class Folder:
    """A clean server of the stack; a test spoils one thing."""

    def __init__(self, root: Path) -> None:
        self.server = FakeServer(root)
        self.active: set[str] = set()
        # What names lead to that do not come from the hosts file, and all of them if `by_file` is not set.
        self.elsewhere: dict[str, list[str]] = {}
        self.by_file = True
        self.server.programs = {"systemctl": self._systemctl, "getent": self._getent}
        self.write("/etc/hosts", HOSTS)
        self.write("/etc/nsswitch.conf", "passwd: files\nhosts:          files dns\n")

    def write(self, path: str, text: str) -> Path:
        file = self.server.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def process(self, name: str, *arguments: str) -> None:
        """Have a process of that name run."""
        self.write("/proc/4711/comm", f"{name}\n")
        self.write("/proc/4711/cmdline", "\0".join((name, *arguments)) + "\0")

    def look(self, name: CheckName, **desired: Any) -> Result:
        (check,) = (one for one in catalogue.of(*Side) if one.name is name)
        asked = {
            "side": check.sides[-1].value, "address": "10.77.0.21", "names": NAMES, "reload": "",
            "databases": {"db1": "10.77.0.11", "db2": "10.77.0.12", "db-a": "10.77.0.14"},
            "primary": {"server": "db1", "address": "10.77.0.11", "port": 5432}, "replicas": {"db2": "10.77.0.12"},
            "target": {"db-a": "10.77.0.14"}, "readsFrom": {"db2": "10.77.0.12"}, "phase": "prepare", "knownClients": [], "postgres": {"port": 5432}, **desired,
        }  # fmt: skip
        with Sight(asked, self.server) as sight:
            return make(check, sight)

    def found(self, name: CheckName, **desired: Any) -> list[str]:
        """What a check finds, which must have been made."""
        result = self.look(name, **desired)
        assert result.unseen is None, result.unseen
        return result.found

    def _systemctl(self, arguments: tuple[str, ...]) -> Completed:
        assert arguments[0] == "is-active"
        units = [unit.removesuffix(".service") for unit in arguments[1:]]
        return Completed(0, "".join("active\n" if unit in self.active else "inactive\n" for unit in units), "")

    def _getent(self, arguments: tuple[str, ...]) -> Completed:
        lines = self.server.path("/etc/hosts").read_text().splitlines() if self.by_file else []
        addresses = [line.split()[0] for line in lines if arguments[1] in line.partition("#")[0].split()[1:]]
        addresses = addresses or self.elsewhere.get(arguments[1], [])
        return Completed(0, "".join(f"{address:<16}STREAM {arguments[1]}\n" for address in addresses), "")
