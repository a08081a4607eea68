"""PostgreSQL servers of the tests' own, on loopback, as a check sees them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.check_names import CheckName
from agent.checks import catalogue
from agent.checks.check import Result, Side, make
from agent.checks.sight import Sight
from agent.cluster import OS_USER
from agent.server import Server

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


class OnLoopback(Sight):
    """Sees the test's own server, whose socket is in its folder."""

    socket_folder: str = ""

    def login(self, database: str) -> tuple[str | None, dict[str, str]]:
        where = {"PGHOST": self.socket_folder, "PGPORT": str(self.cluster.port), "PGUSER": "postgres"}
        return None, {**where, "PGDATABASE": database}


@dataclass
class Database:
    """A running server: `settings` are its options, `sql` works as the superuser."""

    folder: Path
    port: int
    bin: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def run(self, program: str, *arguments: str, text: str = "") -> str:
        who = ["runuser", "-u", OS_USER, "--"] if os.geteuid() == 0 else []
        where = {**os.environ, "PGHOST": str(self.folder), "PGPORT": str(self.port), "PGUSER": "postgres"}
        command = [*who, str(self.bin / program), *arguments]
        done = subprocess.run(command, input=text, text=True, capture_output=True, env=where, cwd="/", check=False)
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout

    def sql(self, text: str, database: str = "postgres") -> str:
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, text=text)

    def start(self) -> None:
        given = "".join(f" -c {name}='{value}'" for name, value in self.settings.items())
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off{given}"
        self.run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def restart(self, **settings: str) -> None:
        self.stop()
        self.settings = settings
        self.start()

    def look(self, name: CheckName, **desired: Any) -> Result:
        """One check of this server, for a desired state of which `desired` replaces parts."""
        (check,) = (one for one in catalogue.of(*Side) if one.name is name)
        with self.sight(**{"side": check.sides[0].value, **desired}) as sight:
            return make(check, sight)

    def sight(self, **desired: Any) -> Sight:
        """A look at this server, for a desired state of which `desired` replaces parts."""
        sight = OnLoopback({**self.desired(), **desired}, Server())
        sight.socket_folder = str(self.folder)
        return sight

    def found(self, name: CheckName, **desired: Any) -> list[str]:
        """What a check finds, which must have been made."""
        result = self.look(name, **desired)
        assert result.unseen is None, result.unseen
        return result.found

    def desired(self) -> dict[str, Any]:
        """As components.desired_preflight has it."""
        places = {"bin": str(self.bin), "data": str(self.data), "config": str(self.data), "unit": "test.service"}
        old = {
            "version": int(self.bin.parent.name), "layout": "debian", "cluster": "main", "port": self.port,
            "superuser": "postgres", **places,
        }  # fmt: skip
        newest = BINARIES[-1]
        new = {**old, "version": int(newest.parent.name), "bin": str(newest), "data": str(self.folder / "new"),
               "config": str(self.folder / "new")}  # fmt: skip
        return {
            "server": "db1", "address": "127.0.0.1", "round": 1, "phase": "prepare", "side": "old primary", "isReadFrom": False,
            "postgres": old, "newPostgres": new, "primary": {"server": "db1", "address": "127.0.0.1", "port": self.port},
            "replicas": {}, "target": {"db-a": "127.0.0.9"}, "readsFrom": {"db2": "127.0.0.2"}, "names": {}, "databases": {"db1": "127.0.0.1"}, "knownClients": ["127.0.0.1"],
            "tasks": [], "reload": "", "transferMode": "link", "archiveCommand": "", "reverse": {"enabled": True, "leaveOut": []},
            "lagBytes": 16_777_216, "graceSeconds": 10,
        }  # fmt: skip


@contextmanager
def running(
    folder: Path, settings: Mapping[str, str] | None = None, initdb: Sequence[str] = (), binaries: Path | None = None
) -> Iterator[Database]:
    """A fresh server, of the oldest version there is or of these binaries, gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = Database(folder, free.getsockname()[1], binaries or BINARIES[0], dict(settings or {}))
    if os.geteuid() == 0:
        # pytest's folders are their maker's alone; the server's user has to get through them.
        for parent in (folder, *folder.parents):
            if parent == Path(tempfile.gettempdir()):
                break
            parent.chmod(0o755)
        shutil.chown(folder, OS_USER)
    arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", *initdb]
    found.run("initdb", "-D", str(found.data), *arguments)
    found.start()
    try:
        yield found
    finally:
        found.stop()
