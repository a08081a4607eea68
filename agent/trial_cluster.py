"""The cluster in which a schema is tried: like the new version's on DB_A, beside it, and gone afterwards.

It has a data folder of its own and the new cluster's configuration, so that a trial that dies leaves that one as it was. Its server is
reached over a socket in a folder of pgleap's alone.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Dict, Optional, Sequence

from agent import pg_upgrade, session_settings, trial_programs
from agent.cluster import OS_USER, Cluster
from agent.postgres import BYTES, wait_until
from agent.report import Refusal
from agent.server import Server

# Seconds for initdb, for a start and for a stop: without a deadline each could wait for ever.
STEP_SECONDS = 120
WORK = "trial"


@dataclass(frozen=True)
class TrialCluster:
    """`old` and `new` are DB_A's clusters; `work` is the folder of its socket, its dumps and its log, which is kept."""

    server: Server
    old: Cluster
    new: Cluster
    work: str

    @property
    def data(self) -> str:
        return data_folder(self.new)

    @property
    def log(self) -> str:
        return f"{self.work}/server.log"

    def environment(self) -> Dict[str, str]:
        """How a program finds it. Messages are PostgreSQL's own, not translated: they are read here."""
        return {**_environment(self.old), "PGHOST": self.work, "PGPORT": str(pg_upgrade.NEW_PORT)}

    def source(self, sockets: str) -> Dict[str, str]:
        """How a program finds the old version's standby, whose sockets lie in that folder."""
        return {**_environment(self.old), "PGHOST": sockets, "PGPORT": str(self.old.port)}

    def make(self, initdb_options: Sequence[str]) -> None:
        """Make it and start it. Raises Refusal."""
        server, new = self.server, self.new
        uid, gid = server.owner(OS_USER)
        server.run("install", "-d", "-m", "0700", "-o", str(uid), "-g", str(gid), str(server.path(self.data)))
        server.run(
            new.program("initdb"), "--pgdata", self.data, "--no-sync", *initdb_options, user=OS_USER, timeout=STEP_SECONDS
        )  # fmt: skip
        # What the old primary was given by ALTER SYSTEM lies among the data: without its limits, and the libraries that it loads, the trial
        # would fail over what pg_upgrade restores.
        auto = server.path(new.auto_config_file)
        if auto.exists():
            own = f"{self.data}/{auto.name}"
            server.write_durably(own, auto.read_bytes(), mode=0o600, owner=(uid, gid))
        files = {
            "config_file": new.config_file,
            "hba_file": server.place(pg_upgrade.UPGRADE_HBA),
            "ident_file": server.place(pg_upgrade.ident_file()),
            "data_directory": self.data,
        }
        options = trial_programs.server_options(pg_upgrade.NEW_PORT, self.work, files)
        started = server.run(
            new.program("pg_ctl"), "start", "-w", "-t", str(STEP_SECONDS), "-D", self.data, "-l", self.log, "-o", options,
            user=OS_USER, check=False, timeout=STEP_SECONDS + 5,
        )  # fmt: skip
        if started.returncode != 0:
            log = server.path(self.log)
            said = log.read_text(errors="replace") if log.exists() else started.stdout + started.stderr
            raise Refusal(
                f"a second cluster of PostgreSQL {new.version} to start on DB_A, to try the schema in",
                said.strip()[-1500:],
                f"mend what it says, then run `pulumi up` again; its log is {self.log}",
            )

    def clear(self) -> None:
        """Stop its server, if one runs, and take it away: also what a trial left that died."""
        data = self.server.path(self.data)
        if data.exists():
            self._stop()
            shutil.rmtree(data)
        work = self.server.path(self.work)
        for file in work.iterdir() if work.exists() else ():
            if file.name.endswith((".sql", ".dump", ".pid")) or file.name.startswith(".s.PGSQL"):
                file.unlink(missing_ok=True)

    def _stop(self) -> None:
        """At once: nothing in it is worth a checkpoint."""
        postmaster = self.postmaster()
        if postmaster is None:
            return
        self.server.run("kill", "-QUIT", str(postmaster), check=False)
        wait_until(
            self.server,
            STEP_SECONDS,
            "the trial's server to end",
            lambda: None if self.postmaster() is None else f"process {postmaster} runs on",
            f"kill -9 {postmaster}",
        )

    def postmaster(self) -> Optional[int]:
        """Its server's process id, None if none runs. After a reboot the number in the lock file may be another server's, so the process
        has to name this data folder itself."""
        lock = self.server.path(f"{self.data}/postmaster.pid")
        if not lock.exists():
            return None
        pid = lock.read_text().split("\n", 1)[0]
        command = self.server.path(f"/proc/{pid}/cmdline")
        return int(pid) if command.exists() and self.data.encode() in command.read_bytes().split(b"\0") else None


def _environment(old: Cluster) -> Dict[str, str]:
    settings = {**session_settings.pg_upgrades(old.version), "lc_messages": "C"}
    return {"PGOPTIONS": session_settings.options(settings), "PGUSER": old.superuser, **BYTES}


def data_folder(new: Cluster) -> str:
    """Beside the new cluster's own, where there is room for the definitions."""
    return f"{new.data}.pgleap-trial"


def at(server: Server, old: Cluster, new: Cluster) -> TrialCluster:
    """The one of this server. Its folder for sockets and dumps is made by pg_upgrade.prepare_folder."""
    return TrialCluster(server, old, new, server.place(f"{pg_upgrade.WORK_FOLDER}/{WORK}"))


def clear(server: Server, new: Cluster) -> None:
    """Take away what a trial left that died, if anything."""
    at(server, new, new).clear()
