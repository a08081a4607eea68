"""A PostgreSQL server of a test's own, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
"""Where the programs of each installed version are, the oldest first."""


@dataclass(frozen=True)
class Server:
    """A running server and its programs, run as the user who may run a server."""

    folder: Path
    port: int
    binaries: Path

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.folder / "data"

    @property
    def archive(self) -> Path:
        """A folder for a tablespace."""
        return self.folder / "archive"

    def run(self, command: Sequence[str], text: str = "", *, stops: bool = True) -> str:
        """What a program prints. Fails if it does, unless `stops` is False: then what it prints has its errors, too."""
        who = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        where = {**os.environ, "PGHOST": str(self.folder), "PGPORT": str(self.port), "PGUSER": "postgres"}
        program, *rest = command
        done = subprocess.run(
            [*who, str(self.binaries / program), *rest],
            input=text, text=True, env=where, cwd=self.folder, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE if stops else subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout

    def psql(self, database: str, text: str) -> str:
        return self.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database], text)

    def psql_on(self, database: str, text: str) -> str:
        """The same, going on after an error."""
        return self.run(["psql", "-XqAt", "-d", database, "-f", "-"], text, stops=False)

    def pgbench(self, arguments: Sequence[str]) -> None:
        self.run(["pgbench", *arguments])

    def initialize(self) -> None:
        """Make its data directory."""
        self.run(
            [
                "initdb",
                "-D",
                str(self.data),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ]
        )

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        loaded = "-c shared_preload_libraries=pg_stat_statements"
        self.run(
            ["pg_ctl", "-D", str(self.data), "-w", "-l", str(self.folder / "log"), "-o", f"{options} {loaded}", "start"]
        )

    def stop(self, how: str = "immediate") -> None:
        self.run(["pg_ctl", "-D", str(self.data), "-m", how, "-w", "stop"])


def placed(folder: Path, binaries: Path) -> Server:
    """A server's folder and a free port; nothing runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = Server(folder, free.getsockname()[1], binaries)
    found.archive.mkdir()
    if os.geteuid() == 0:
        # pytest's folders are their maker's alone, one deeper under xdist; the server's user has to get through them.
        for parent in (folder, *folder.parents):
            if parent == Path(tempfile.gettempdir()):
                break
            parent.chmod(0o755)
        for path in (folder, found.archive):
            shutil.chown(path, "postgres")
    return found


@contextmanager
def running(folder: Path, binaries: Path) -> Iterator[Server]:
    """An empty server that runs for as long as this lasts."""
    found = placed(folder, binaries)
    found.initialize()
    found.start()
    try:
        yield found
    finally:
        found.stop()
