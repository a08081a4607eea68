"""The agent on the lab's database servers, told what to do as the steps tell it: over SSH, its desired state on standard input."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extensions

from agent.client_rules import LOCAL_ROLE, READER
from agent.install import INSTALLED
from agent.states import Phase, Verb
from components.agent_program import SUDO, agent_program
from components.desired import Desire
from components.settings import Settings
from rehearsal import operator_stack
from rehearsal.lab import databases, keys
from rehearsal.lab.fleet import OLD_VERSION, named
from rehearsal.lab.lab import Lab
from rehearsal.stage import psql_as_root

PASSWORD = "by:hand\\ 'quoted\""
"""The role pgleap's: what a password file, SQL and a shell would each trip over."""
STATE = "/var/lib/pgleap"
GATE_SETTINGS = "SELECT name, setting FROM pg_file_settings WHERE name IN ('autovacuum', 'default_transaction_read_only') ORDER BY 1"
"""What configuration files say of the settings that a seal changes."""
AGENT = f"{SUDO} {INSTALLED}"


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for it. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.05)


class Session:
    """A psql that stays, on a server of the lab; `command` is how a shell there starts it."""

    def __init__(self, lab: Lab, on: str, command: str) -> None:
        self._process = _ssh(lab, on, f"cd /; {command} -XAtq 2>&1")

    def tell(self, sql: str) -> None:
        """Begin something, and do not wait for it. Raises BrokenPipeError if psql has ended."""
        assert self._process.stdin
        self._process.stdin.write(f"{sql}\n")
        self._process.stdin.flush()

    def ask(self, sql: str) -> str:
        """What psql says to it; its last words if it ends over it, and nothing if it had ended before."""
        assert self._process.stdout
        try:
            self.tell(f"{sql};\n\\echo done")
        except BrokenPipeError:
            return ""
        lines = []
        for line in self._process.stdout:
            if line == "done\n":
                break
            lines.append(line)
        return "".join(lines).strip()

    def close(self) -> None:
        """End it, once what is under way has ended."""
        self._process.communicate()


class DatabaseServer:
    """One database server with the agent on it. `version` is that of its PostgreSQL."""

    def __init__(self, lab: Lab, name: str, version: int, **limits: int) -> None:
        self.lab = lab
        self.host = lab.host(name)
        self.address = self.host.server.address
        self.psql = psql_as_root(self.host)
        self.hba = f"/etc/postgresql/{version}/main/pg_hba.conf"
        self.ident = f"/etc/postgresql/{version}/main/pg_ident.conf"
        self._limits = limits
        for file in (self.hba, self.ident):
            self.host.run(["cp", "--archive", file, f"{file}.before-test"])
        program = agent_program()
        subprocess.run([*_to(lab, name), f"cat > {program.delivered}"], input=program.file.read_bytes(), check=True)
        self.run(Verb.INSTALL, {"sha256": program.sha256}, f"{SUDO} {program.delivered}")

    def leave_as_found(self) -> None:
        """Open, and nothing of pgleap left."""
        for file in (self.hba, self.ident):
            self.host.run(["mv", f"{file}.before-test", file])
        settings = "".join(f"ALTER SYSTEM RESET {name};" for name in ("default_transaction_read_only", "autovacuum"))
        self.psql("postgres", f"{settings} SELECT pg_reload_conf();")
        self.forget()

    def forget(self) -> None:
        """Take away the agent and what it remembers."""
        self.host.run(["sh", "-c", f"rm -rf {STATE} /usr/local/lib/pgleap /home/deploy/.pgleap-agent-*"])

    def desire(self, phase: Phase) -> Desire:
        """What the stack would ask for in `phase`."""
        config = operator_stack.config(self.lab.place, instances=False)
        given = {name.removeprefix("pgleap:"): value for name, value in config.items()}
        secrets = {"password": "a secret", "replicationPassword": "another"}
        rest = {"phase": phase.value, "round": 1, "limits": self._limits, **secrets}
        return Desire(Settings.from_config({**given, **rest}))

    def start(self, verb: Verb, desired: Mapping[str, Any], program: str = AGENT) -> subprocess.Popen[str]:
        """Run a verb, and do not wait for it."""
        process = _ssh(self.lab, self.host.name, f"{program} {verb.value}")
        assert process.stdin
        process.stdin.write(json.dumps({"server": self.host.name, "address": self.address, "round": 1, **desired}))
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, verb: Verb, desired: Mapping[str, Any], program: str = AGENT) -> dict[str, Any]:
        """The facts of a verb that succeeds."""
        process = self.start(verb, desired, program)
        out, said = process.communicate()
        assert process.returncode == 0, said
        (line,) = out.splitlines()
        facts: dict[str, Any] = json.loads(line)
        return facts

    def refused(self, verb: Verb, desired: Mapping[str, Any]) -> str:
        """What a verb that refuses says."""
        process = self.start(verb, desired)
        out, said = process.communicate()
        assert (process.returncode, out) == (1, ""), out
        assert said.splitlines()[-1].startswith("pgleap: refused. Expected: ")
        return said

    def content(self, file: str) -> bytes:
        """The very bytes of a file on the server."""
        return base64.b64decode(self.host.run(["base64", "--wrap=0", file]))

    def journal(self) -> dict[str, Any]:
        """What it remembers."""
        found: dict[str, Any] = json.loads(self.content(f"{STATE}/journal.json"))
        return found

    def state(self) -> tuple[object, ...]:
        """All that a gate may change: journal (but for how often it was written), rules, settings, and the next transaction id."""
        look = f"SELECT pg_snapshot_xmax(pg_current_snapshot()); {GATE_SETTINGS}"
        journal = {name: value for name, value in self.journal().items() if name != "serial"}
        return journal, self.content(self.hba), self.content(self.ident), self.psql("postgres", look)

    def remember(self, **changes: Any) -> None:
        """Write the journal by hand."""
        self.host.write(f"{STATE}/journal.json", json.dumps({**self.journal(), **changes}))


@contextmanager
def prepared_primary(lab: Lab) -> Iterator[DatabaseServer]:
    """db1 as phase prepare has it, open; transactions are given 3 seconds. Afterwards as it was before.

    Its rule files hold what editors elsewhere leave in such files. A superuser `night_job` may come over TCP.
    """
    db1 = DatabaseServer(lab, "db1", OLD_VERSION, graceSeconds=3)
    try:
        for file in (db1.hba, db1.ident):
            db1.host.run(["sh", "-c", f"printf '# für alle\\r\\n# no line end here' >> {file}"])
        desire = db1.desire(Phase.PREPARE)
        db1.run(Verb.ANNOUNCE, desire.move("old primary"))
        db1.run(Verb.ACCESS, {**desire.access(), "readers": [named("db-a").address]})
        db1.run(Verb.CREDENTIALS, {"password": PASSWORD, "owns_role": True, "postgres": desire.old_postgres()})
        db1.psql("postgres", "CREATE ROLE night_job SUPERUSER LOGIN PASSWORD 'the-job-of-the-lab'")
        yield db1
    finally:
        db1.leave_as_found()
        until(lambda: not is_refused())
        roles = f"{READER}, {LOCAL_ROLE}, night_job"
        listed = databases.psql(
            db1.host, "postgres", "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate"
        )
        for database in listed.split():
            databases.psql(db1.host, database, "DROP SCHEMA IF EXISTS pgleap CASCADE")
        databases.psql(db1.host, "postgres", f"DROP ROLE IF EXISTS {roles}")
        databases.psql(db1.host, "shop", "DELETE FROM ledger WHERE made = 0")


def gate(server: DatabaseServer, phase: Phase) -> dict[str, Any]:
    """Bring the old primary's gate to what `phase` wants; the facts."""
    return server.run(Verb.CLIENT_GATE, server.desire(phase).old_primary_gate())


def connected(database: str = "shop", user: str = "app_writer", **more: Any) -> psycopg2.extensions.connection:
    """A client of db1, over TCP from the operator's machine."""
    made: psycopg2.extensions.connection = psycopg2.connect(
        host=named("db1").address,
        dbname=database,
        user=user,
        password=f"the-{user.split('_')[1]}-of-the-lab",
        connect_timeout=5,
        **more,
    )
    return made


def is_refused(database: str = "shop", user: str = "app_writer") -> bool:
    """Whether our rules refuse a client over TCP, and say so."""
    try:
        connected(database, user).close()
    except psycopg2.OperationalError as error:
        return "pg_hba.conf rejects connection" in str(error)
    return False


def _to(lab: Lab, name: str) -> list[str]:
    return ["ssh", "-F", str(keys.config(lab.place)), name]


def _ssh(lab: Lab, on: str, command: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*_to(lab, on), command], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
