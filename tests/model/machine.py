"""A simulated server at the agent's own interface: its files are real, in a folder; its programs, its clock and its PostgreSQL are not."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agent import copies, statistics
from agent.hosts_file import HOSTS
from agent.journal import JOURNAL_FILE
from agent.report import Refusal
from agent.server import Completed, Server
from tests.model import programs, trial
from tests.model.clients import leads
from tests.model.cluster import Cluster
from tests.model.configuration import settings_of
from tests.model.process import Killed, Process

if TYPE_CHECKING:
    from tests.model.world import World

T = TypeVar("T")
U = TypeVar("U")
# What a run of a program takes, in seconds, and the shortest sleep: a server at work wakes nobody up sooner.
PROGRAM_SECONDS = 0.004
NAP_SECONDS = 0.1
# Files that every look at the invariants reads, and that nobody removes.
WATCHED = (HOSTS, JOURNAL_FILE)
# Transient units of programs that are no verbs: a reboot ends them for good.
OF_A_MOMENT = (copies.UNIT, statistics.UNIT)
CONTROL, LINKED, SIGNAL = "global/pg_control", "global/pg_control.old", "standby.signal"


class Machine(Server):
    """One server of the simulated fleet. `tasks` are its offline tasks: name -> whether it runs."""

    def __init__(self, world: World, name: str, address: str, role: str, tasks: tuple[str, ...], folder: Path) -> None:
        super().__init__(folder)
        self.world = world
        self.name = name
        self.address = address
        self.role = role
        self.tasks = dict.fromkeys(tasks, True)
        self.clusters: dict[str, Cluster] = {}
        # What the agent that began last runs from. Nothing puts it back: the one before may go on while this one waits for its lock.
        self.started_from = folder
        self._watched: dict[str, str] = {}
        self.transient: dict[str, Process] = {}
        # Data folder of a schema trial's running server -> its process.
        self.trials: dict[str, int] = {}
        self._locks: dict[str, Process] = {}

    # The agent's interface.

    @property
    def archive(self) -> Path:
        return self.started_from

    def monotonic(self) -> float:
        return self.world.clock

    def now(self) -> float:
        return 1_700_000_000 + self.world.clock

    def addresses(self, name: str) -> list[str]:
        found = leads(self, name)
        return [found] if found else []

    def sleep(self, seconds: float) -> None:
        if self.world.doing.fate.unit_stands_at is not None:
            raise Killed
        self.world.clock += max(seconds, NAP_SECONDS)
        self.world.move()
        self.world.others_go_on(self)

    def run(
        self,
        *argv: str,
        user: str | None = None,
        stdin: str | None = None,
        check: bool = True,
        timeout: float | None = 60,
        environment: dict[str, str] | None = None,
        folder: str = "/",
    ) -> Completed:
        self.world.clock += PROGRAM_SECONDS
        done = programs.run(self, programs.Call(argv, user or "root", stdin or "", environment or {}))
        if check and done.returncode != 0:
            raise Refusal(
                f"`{' '.join(argv[:4])}` to succeed", f"exit status {done.returncode}: {done.stderr}", "mend it"
            )
        return done

    def stream(
        self,
        *argv: str,
        user: str,
        seconds: float,
        on_line: Callable[[str], None],
        environment: dict[str, str] | None = None,
        folder: str = "/",
    ) -> int | None:
        done = programs.run(self, programs.Call(argv, user, "", environment or {}))
        for line in (done.stdout + done.stderr).splitlines():
            on_line(line)
        return done.returncode

    def side_by_side(self, act: Callable[[T], U], each: Sequence[T], at_once: int) -> list[U]:
        return [act(one) for one in each]

    def connects(self, address: str, port: int, seconds: float = 0) -> bool:
        """Whether something listens there."""
        host = self.world.at(address)
        return host is not None and host.listening(str(port)) is not None

    def write_durably(
        self, absolute: str, content: bytes, mode: int | None = None, owner: tuple[int, int] | None = None
    ) -> None:
        with self.effect(f"wrote {absolute}"):
            self.put(absolute, content)

    def owner(self, user: str) -> tuple[int, int]:
        return os.getuid(), os.getgid()

    @contextlib.contextmanager
    def only_one(self, name: str, patience: float) -> Iterator[None]:
        deadline = self.monotonic() + patience
        while name in self._locks:
            if self.monotonic() > deadline:
                raise Refusal(f"no other run of the agent's {name} on this server", "one held the lock", "wait for it")
            self.sleep(NAP_SECONDS)
        self._locks[name] = self.world.doing
        try:
            yield
        finally:
            del self._locks[name]

    # What the simulation does with it.

    @contextlib.contextmanager
    def effect(self, what: str) -> Iterator[None]:
        """One change of the world that the process under way makes: it can die right before it and right after it."""
        self.world.doing.meet()
        yield
        self.world.look(f"{self.name}: {what}")
        self.world.move()
        self.world.doing.meet()

    def put(self, absolute: str, content: bytes) -> None:
        """A file, replaced in one moment: a copy of this server may share the old one."""
        absolute = self.place(absolute)
        target = self.path(absolute)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.new")
        beside.write_bytes(content)
        beside.replace(target)
        if absolute in WATCHED:
            self._watched[absolute] = content.decode()

    def text(self, absolute: str) -> str:
        """A file's text, "" if there is none."""
        absolute = self.place(absolute)
        if absolute in WATCHED:
            return self._watched.get(absolute, "")
        path = self.path(absolute)
        return path.read_text() if path.exists() else ""

    def cluster_at(self, data: str) -> Cluster | None:
        """The cluster whose data directory still is there."""
        if data in self.clusters and not self.path(f"{data}/PG_VERSION").exists():
            assert not self.clusters[data].running, f"{self.name}: {data} was taken away under a running server"
            del self.clusters[data]
        return self.clusters.get(data)

    def listening(self, port: str = "5432") -> Cluster | None:
        """The running cluster on a port."""
        for cluster in self.clusters.values():
            if cluster.running and cluster.settings["port"] == port:
                return cluster
        return None

    def running(self) -> list[Cluster]:
        return [cluster for cluster in self.clusters.values() if cluster.running]

    def settings(self, cluster: Cluster) -> list[dict[str, Any]]:
        """The rows of pg_file_settings, in the order in which they are applied."""
        files = [f"{cluster.config}/postgresql.conf", f"{cluster.data}/postgresql.auto.conf"]
        own = f"{cluster.config}/pgleap.conf"
        if "include_if_exists = 'pgleap.conf'" in self.text(files[0]):
            files.insert(1, own)
        return [
            {"name": name, "setting": setting, "sourcefile": file}
            for file in files
            for name, setting in settings_of(self.text(file)).items()
        ]

    def shown_settings(self, cluster: Cluster) -> list[dict[str, Any]]:
        """What the function `settings` tells: running values, whatever became of the files since."""
        by_alter_system = settings_of(self.text(f"{cluster.data}/postgresql.auto.conf"))
        return [
            {"name": name, "setting": cluster.settings[name], "by_alter_system": name in by_alter_system}
            for name in sorted(cluster.configured)
        ]

    def shown_rules(self, cluster: Cluster) -> dict[str, Any]:
        """What the function `rules` tells: the files, and which of them are not what is in force."""
        files = {kind: f"{cluster.config}/pg_{kind}.conf" for kind in ("hba", "ident")}
        running = {"hba": cluster.hba, "ident": cluster.ident}
        edited = [file for kind, file in files.items() if self.text(file) != running[kind]]
        shown = {kind: base64.b64encode(self.text(file).encode()).decode() for kind, file in files.items()}
        return {**shown, "edited": edited}

    def install(self, folder: str, names: Sequence[str]) -> None:
        """Programs that are there."""
        for name in names:
            self.put(f"{folder}/{name}", b"")

    def boot(self) -> None:
        """It lost its power, and is there again: what starts with the machine does."""
        for cluster in self.running():
            self.stop(cluster, crash=True)
        for unit in OF_A_MOMENT:
            self.tasks.pop(unit, None)
        for data in list(self.trials):
            trial.forget(self, data)
        for data in list(self.clusters):
            there = self.cluster_at(data)
            if there is not None and self.text(f"{there.config}/start.conf") in ("", "auto\n"):
                self.start(there)

    def reload(self, cluster: Cluster) -> None:
        hba, ident = (self.text(f"{cluster.config}/{file}") for file in ("pg_hba.conf", "pg_ident.conf"))
        cluster.load(hba, ident, self.settings(cluster), self.now())

    def start(self, cluster: Cluster) -> None:
        """Start a cluster that can be started, as a standby if its signal file stands there."""
        if cluster.running or not self.path(f"{cluster.data}/{CONTROL}").exists():
            return
        self.reload(cluster)
        if any(other.settings["port"] == cluster.settings["port"] for other in self.running()):
            return
        cluster.running, cluster.recovery = True, self.path(f"{cluster.data}/{SIGNAL}").exists()
        self.world.last_postmaster += 100_000
        cluster.pid = cluster.last_pid = self.world.last_postmaster
        self.put(f"{cluster.data}/postmaster.pid", f"{cluster.pid}\n".encode())
        self.put(f"/proc/{cluster.pid}/comm", b"postgres\n")

    def stop(self, cluster: Cluster, crash: bool = False) -> None:
        cluster.halt()
        self.tasks.pop(statistics.UNIT, None)  # its connections are gone
        self.path(f"/proc/{cluster.pid}/comm").unlink()
        self.path(f"/proc/{cluster.pid}").rmdir()
        if not crash:
            self.path(f"{cluster.data}/postmaster.pid").unlink()
