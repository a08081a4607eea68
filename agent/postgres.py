"""Talking to PostgreSQL: the cluster on this server over its socket, and the one on the other side over the network."""

from __future__ import annotations

import shlex
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from agent import cluster as clusters
from agent import session_settings
from agent.client_rules import LOCAL_ROLE
from agent.cluster import OS_USER, SOCKET_FOLDER, Cluster
from agent.qualified import connection_string, values_in
from agent.report import Refusal, progress
from agent.server import STATE_FOLDER, Completed, Server

PASSWORD_FILE = f"{STATE_FOLDER}/pgpass"
POLL_SECONDS = 0.02
# Every transaction that was given an id holds a lock on it until it ends; waiting for another's is not holding.
HOLDING_AN_ID = "(SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND granted)"
RELOAD_SECONDS = 10
# Whether a rule file was written after PostgreSQL had read it.
UNREAD = (
    "SELECT pg_conf_load_time() < max(greatest(f.modification, f.change)) FROM (VALUES (current_setting('hba_file')),"
    " (current_setting('ident_file'))) r (one), pg_stat_file(r.one) f;"
)
# What psql and libpq are told beside where to connect. A database's name stands here and nowhere else: given as an argument, `a=b` or
# `postgresql://x` would be read as a connection string (libpq-connect, "Connection Strings"). A client that names its encoding gets it,
# whatever a database or role sets (libpq-envars; what a session begins with wins over ALTER DATABASE and ALTER ROLE).
TEXT = {"PGCLIENTENCODING": "UTF8"}
# For programs that hand names back to the server as they got them: nothing is converted, so nothing is there that cannot be.
BYTES = {"PGCLIENTENCODING": "SQL_ASCII"}


def wait_until(
    server: Server, seconds: float, expected: str, look: Callable[[], Optional[str]], do: str, say_every: float = 5
) -> None:
    """Look until `look` answers None; what it answers otherwise is what was found. Raises Refusal after `seconds`."""
    began = said = server.monotonic()
    while True:
        found = look()
        if found is None:
            return
        now = server.monotonic()
        if now - began > seconds:
            raise Refusal(f"{expected} within {seconds:g} s", found, do)
        if now - said > say_every:
            progress(f"waiting for {expected}: {found} ({now - began:.0f} of at most {seconds:g} s)")
            said = now
        server.sleep(POLL_SECONDS)


def as_json(query: str) -> str:
    """A statement that prints all rows of a query as one JSON list of objects."""
    return f"SELECT coalesce(json_agg(row_to_json(q)), '[]') FROM ({query}) q;"


class Postgres:
    """The cluster on this server, reached by root over the socket as pgleap's own local role (see client_rules).

    Or as `role`, by the user `os_user` of the operating system.
    """

    def __init__(
        self, server: Server, cluster: Cluster, address: str, role: str = LOCAL_ROLE, os_user: Optional[str] = None
    ) -> None:
        self.server = server
        self.cluster = cluster
        self.address = address
        self._role = role
        self._os_user = os_user

    def as_superuser(self) -> Postgres:
        """The same cluster, reached as the superuser, whom the fleet's own rules let the operating system's postgres be."""
        return Postgres(self.server, self.cluster, self.address, self.cluster.superuser, OS_USER)

    @property
    def socket_folder(self) -> str:
        return self.sockets(SOCKET_FOLDER)

    def sockets(self, otherwise: str) -> str:
        """Where this cluster's socket is: another folder than usual is found by what the running server wrote down. `otherwise` if nothing
        says where."""
        lock = self.server.path(f"{self.cluster.data}/postmaster.pid")
        return clusters.socket_folder(self.cluster, lock.read_text() if lock.exists() else "") or otherwise

    def _psql(
        self,
        sql: str,
        database: str,
        check: bool = True,
        writing: bool = False,
        more: Optional[Mapping[str, str]] = None,
        variables: Sequence[str] = ("ON_ERROR_STOP=1",),
        without: str = "",
    ) -> Completed:
        cluster = self.cluster
        settings = {**session_settings.superusers(cluster.version), **(more or {})}
        settings.pop(without, None)
        if writing:  # a sealed database is read-only by default, for pgleap too unless it says that it means to write
            settings["default_transaction_read_only"] = "off"
        return self.server.run(
            cluster.program("psql"),
            "-wXAtq",
            *(word for variable in variables for word in ("-v", variable)),
            stdin=sql,
            user=self._os_user,
            check=check,
            timeout=None,
            environment={
                "PGHOST": self.socket_folder,
                "PGPORT": str(cluster.port),
                "PGUSER": self._role,
                "PGDATABASE": database,
                **TEXT,
                "PGAPPNAME": "pgleap",
                "PGOPTIONS": session_settings.options(settings),
                "PGCONNECT_TIMEOUT": "5",
            },
        )

    def execute(self, sql: str, database: str = "postgres", writing: bool = False, as_role: str = "") -> str:
        """Run statements (each its own transaction); the text they print. `as_role` owns what they make. Raises Refusal with PostgreSQL's
        message."""
        more = {"role": as_role} if as_role else {}
        return self._psql(sql, database, writing=writing, more=more).stdout.strip()

    def attempt(
        self, sql: str, database: str, settings: Mapping[str, str], writing: bool, goes_on: bool, own_search_path: bool
    ) -> Completed:
        """Run statements under further settings; errors are the caller's to look at, with their SQLSTATE (psql, VERBOSITY).

        `goes_on`: also those after one that failed. `own_search_path`: the fleet's, not pgleap's.
        """
        variables = ("VERBOSITY=verbose", f"ON_ERROR_STOP={int(not goes_on)}")
        without = "search_path" if own_search_path else ""
        return self._psql(sql, database, False, writing, settings, variables, without)

    def by_hand(self, sql: str, database: str) -> str:
        """The command line by which a person who is root on this server has the database do the same, sealed or not."""
        words = [
            "PGOPTIONS=-c default_transaction_read_only=off", *(f"{name}={value}" for name, value in TEXT.items()),
            self.cluster.program("psql"), "-h", self.socket_folder, "-p", str(self.cluster.port), "-U", self._role,
            "-d", connection_string(database), "-c", sql,
        ]  # fmt: skip
        return " ".join(["env", *(shlex.quote(word) for word in words)])

    def rows(self, query: str, database: str = "postgres") -> List[Dict[str, Any]]:
        return self.each_rows([query], database)[0]

    def each_rows(
        self, queries: Sequence[str], database: str = "postgres", after: Sequence[str] = ()
    ) -> List[List[Dict[str, Any]]]:
        """What each query finds, in one session: each start of psql costs more than most queries do. `after` these statements, which write
        and print empty lines at most."""
        statements = [*after, *(as_json(query) for query in queries)]
        text = self.execute("\n".join(statements), database, writing=bool(after))
        return list(values_in(text))

    def row(self, query: str, database: str = "postgres") -> Dict[str, Any]:
        return self.rows(query, database)[0]

    def value(self, expression: str, database: str = "postgres") -> str:
        return self.execute(f"SELECT {expression};", database)

    def answers(self) -> Optional[str]:
        """None if a connection succeeds, else why it does not."""
        code, _, error = self._psql("SELECT 1;", "postgres", check=False)
        return None if code == 0 else (error.strip() or f"psql ended with {code}")

    def unread(self) -> Optional[str]:
        """None if a connection succeeds and finds the rule files as PostgreSQL has read them, else what is amiss. (Times of files are in whole
        seconds, rounded down.)"""
        code, text, error = self._psql(UNREAD, "postgres", check=False)
        if code != 0:
            return error.strip() or f"psql ended with {code}"
        return "rules that were written and never read" if text.strip() == "t" else None

    def ask_to_read(self) -> None:
        """Have pg_hba.conf and the settings read again, and wait for nothing: whoever asks looks whether they are in force."""
        postmaster = self.postmaster()
        if postmaster is not None:
            self.server.run("kill", "-HUP", str(postmaster), check=False)

    def have_local_role(self) -> List[str]:
        """Make pgleap's local role, by way of the superuser. What was changed.

        On a replica the role arrives from the primary, where it was made before.
        """
        superuser = self.as_superuser()
        role_there = f"EXISTS (SELECT FROM pg_roles WHERE rolname = '{LOCAL_ROLE}' AND rolsuper AND rolcanlogin)"
        found = superuser._psql(f"SELECT pg_is_in_recovery(), {role_there};", "postgres", check=False)
        if found.returncode != 0 or found.stdout.strip() != "f|f":
            return []  # sealed, so it was made before; a replica; or there already. Whether it can be used shows in a moment.
        superuser.execute(f"CREATE ROLE {LOCAL_ROLE} SUPERUSER LOGIN PASSWORD NULL;")
        return [f"created the role {LOCAL_ROLE}"]

    def databases(self) -> List[str]:
        return [row["datname"] for row in self.rows("SELECT datname FROM pg_database WHERE datallowconn ORDER BY oid")]

    def by_alter_system(self) -> Dict[str, str]:
        """What ALTER SYSTEM holds, by name, in force or not."""
        held = self.rows("SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE '%/postgresql.auto.conf'")
        return {row["name"]: row["setting"] for row in held}

    def in_recovery(self) -> bool:
        return self.value("pg_is_in_recovery()") == "t"

    def postmaster(self) -> Optional[int]:
        """The running postmaster's process id, None if there is none."""
        lock = self.server.path(f"{self.cluster.data}/postmaster.pid")
        if not lock.exists():
            return None
        pid = int(lock.read_text().split("\n", 1)[0])
        name = self.server.path(f"/proc/{pid}/comm")
        return pid if name.exists() and "postgres" in name.read_text() else None

    def is_running(self) -> bool:
        return self.postmaster() is not None

    def reload(self) -> None:
        """Have pg_hba.conf and the settings read again, and return only when new connections are under them.

        A new backend inherits the postmaster's load time and its rules together (postmaster.c, process_pm_reload_request).
        """
        code, before, _ = self._psql("SELECT pg_conf_load_time();", "postgres", check=False)
        postmaster = self.postmaster()
        if postmaster is None:
            raise Refusal(
                f"PostgreSQL {self.cluster.version} running in {self.cluster.data}",
                "no postmaster",
                f"systemctl start {self.cluster.unit}",
            )
        self.server.run("kill", "-HUP", str(postmaster))

        def look() -> Optional[str]:
            now_code, now, error = self._psql("SELECT pg_conf_load_time();", "postgres", check=False)
            if now_code != 0:
                return error.strip()
            return None if code != 0 or now != before else "the settings of before"

        wait_until(
            self.server,
            RELOAD_SECONDS,
            "PostgreSQL to have read its rules again",
            look,
            f"look at the log of {self.cluster.unit}",
        )
        wrong = self.rows("SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL")
        if wrong:
            raise Refusal(
                f"a valid {self.cluster.hba_file}", f"{wrong}", "mend those lines, then run `pulumi up` again"
            )

    def start(self, seconds: float = 120) -> None:
        """Start the cluster's unit and wait until it answers.

        Debian's start command looks for the server in steps of half a second, and returns 2 s after it is ready (measured);
        so systemd is not waited for.
        """
        if not self.is_running():
            self.server.run("systemctl", "start", "--no-block", self.cluster.unit)
        wait_until(
            self.server,
            seconds,
            f"PostgreSQL {self.cluster.version} to answer",
            self.answers,
            f"journalctl -u {self.cluster.unit}",
        )

    def stop(self, seconds: float = 120) -> None:
        """Stop the cluster cleanly (fast shutdown), also one that its unit does not know of."""
        self.server.run("systemctl", "stop", self.cluster.unit, timeout=seconds, check=False)
        if self.is_running():
            self.server.run(
                self.cluster.program("pg_ctl"), "stop", "-D", self.cluster.data, "-m", "fast", "-w", "-t", f"{seconds:.0f}",
                user="postgres", timeout=seconds + 5,
            )  # fmt: skip
