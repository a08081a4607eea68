"""What a check sees of its server: PostgreSQL over one session for each database, files, programs. It only reads."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Tuple, Type

from agent.checks.session import Session
from agent.client_rules import BEGIN, LOCAL_ROLE
from agent.cluster import OS_USER, Cluster, from_desired
from agent.coverage import DATABASES
from agent.onlooker import Onlooker
from agent.postgres import Postgres
from agent.report import Refusal
from agent.server import Completed, Server

# Where the server is asked, and where if that is not there (`local-login` refuses that).
MAINTENANCE = "postgres"
INSTEAD = "template1"


class Sight:
    """One look at one server, for `desired` as the verb preflight has it. Every answer is kept: checks that ask the same cost nothing.

    Close it, or use it as a context manager: its sessions end then.
    """

    def __init__(self, desired: Mapping[str, Any], server: Server) -> None:
        self.desired = desired
        self.whole_server = server  # for what must run for longer than a look
        self.server = Onlooker(server)
        self._sessions: Dict[str, Session] = {}
        self._rows: Dict[Tuple[str, str], List[Dict[str, Any]]] = {}
        self._programs: Dict[Tuple[Optional[str], ...], Completed] = {}

    def __enter__(self) -> Sight:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        for session in self._sessions.values():
            with suppress(Exception):  # all answers are there
                session.close()
        self._sessions.clear()

    def again(self) -> Sight:
        """Another look at the same server, with sessions of its own: for whoever looks beside this one."""
        other = copy(self)
        other._sessions, other._rows, other._programs = {}, {}, {}
        return other

    @property
    def old(self) -> Cluster:
        """The cluster of the old version, where it is or will be on this server."""
        return from_desired(self.desired["postgres"])

    @property
    def new(self) -> Cluster:
        """The cluster of the new version, where it is or will be."""
        return from_desired(self.desired["newPostgres"])

    @property
    def cluster(self) -> Cluster:
        """The one that this server runs: the new version's on a new replica, else the old one's."""
        return self.new if self.desired["side"] == "new replica" else self.old

    @property
    def postgres(self) -> Postgres:
        return Postgres(self.server, self.cluster, self.desired["address"])

    def rows(self, query: str, database: str = "postgres") -> List[Dict[str, Any]]:
        """What a query without a semicolon answers, a dictionary a row. Raises Refusal with PostgreSQL's message."""
        key = (database, query)
        if key not in self._rows:
            self._rows[key] = self._ask(query, database)
        return self._rows[key]

    def _ask(self, query: str, database: str) -> List[Dict[str, Any]]:
        session = self._session(database)
        try:
            return session.rows(query)
        except Refusal:
            if database != MAINTENANCE or not session.ended:
                raise
            # It may be that database alone that is not there, or lets nobody in: what is asked of the server is asked in another one.
            with suppress(Refusal):
                return self._session(INSTEAD).rows(query)
            raise

    def row(self, query: str, database: str = "postgres") -> Dict[str, Any]:
        return self.rows(query, database)[0]

    def everywhere(self, query: str) -> List[Dict[str, Any]]:
        """The rows of every database that takes connections and is no template, each with its `database`."""
        return [{"database": name, **row} for name in self.databases() for row in self.rows(query, name)]

    def databases(self) -> List[str]:
        return [row["datname"] for row in self.rows(DATABASES)]

    def settings(self) -> Dict[str, str]:
        """Every setting by its name, in PostgreSQL's own units."""
        return {row["name"]: row["setting"] for row in self.rows("SELECT name, setting FROM pg_settings")}

    def text(self, path: str) -> Optional[str]:
        """A file's content, None if there is no such file."""
        file = self.server.path(path)
        return file.read_text(errors="replace") if file.is_file() else None

    def program(self, *argv: str, user: Optional[str] = None) -> Completed:
        """Run a program that only reads, for a few seconds at most; its exit status is the caller's to look at. Raises Refusal if there
        is none of that name."""
        key = (user, *argv)
        if key not in self._programs:
            self._programs[key] = self.server.run(*argv, user=user, check=False)
        return self._programs[key]

    def is_installed(self, cluster: Cluster, program: str = "postgres") -> bool:
        return Path(self.server.path(cluster.program(program))).exists()

    def try_login(self, database: str) -> Optional[str]:
        """None if a login to this very database succeeds, else why it does not, in PostgreSQL's words."""
        try:
            self._session(database).rows("SELECT 1 AS one")
        except Refusal as refused:
            return refused.found
        return None

    def _session(self, database: str) -> Session:
        if database not in self._sessions:
            cluster = self.cluster
            session = Session(self.server, cluster.program("psql"), cluster.version, self.login(database))
            self._sessions[database] = session
        return self._sessions[database]

    def login(self, database: str) -> Tuple[Optional[str], Dict[str, str]]:
        """The operating system's user and the environment that psql finds its way in by."""
        cluster = self.cluster
        if not self.postgres.is_running():
            raise Refusal(f"PostgreSQL {cluster.version} running on this server", "it is not", "start it")
        ours = BEGIN in (self.text(cluster.hba_file) or "")
        # Before `prepare` pgleap has no role of its own: the fleet's rules let the operating system's postgres be the superuser.
        role, user = (LOCAL_ROLE, None) if ours else (cluster.superuser, OS_USER)
        return user, {
            "PGHOST": self.postgres.socket_folder,
            "PGPORT": str(cluster.port),
            "PGUSER": role,
            "PGDATABASE": database,
        }
