"""Sealing a database in use and opening it again: no session stays or slips in, no write is lost, and a run may die anywhere."""

from __future__ import annotations

import json
import select
import shlex
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import psycopg2
import pytest
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

from agent.client_rules import END
from agent.install import INSTALLED
from agent.states import Phase, Verb
from rehearsal.lab import databases
from rehearsal.lab.fleet import READS_FROM, named
from rehearsal.lab.lab import Lab
from tests.lab.agent_by_hand import (
    GATE_SETTINGS,
    STATE,
    DatabaseServer,
    Session,
    connected,
    gate,
    is_refused,
    prepared_primary,
    until,
)

pytestmark = pytest.mark.lab

INSERT = "INSERT INTO ledger VALUES (gen_random_uuid(), %s, 0)"


@pytest.fixture(scope="module")
def primary(filled_lab: Lab) -> Iterator[DatabaseServer]:
    with prepared_primary(filled_lab) as db1:
        yield db1


@pytest.fixture
def db1(primary: DatabaseServer) -> Iterator[DatabaseServer]:
    """The old primary, open before each test and after it."""
    yield primary
    gate(primary, Phase.PREPARE)


def inserted(db1: DatabaseServer, client: str) -> int:
    return int(db1.psql("shop", f"SELECT count(*) FROM ledger WHERE client = '{client}'"))


def cron_job(db1: DatabaseServer) -> Session:
    """A superuser's session over the socket, as the operating system's postgres."""
    return Session(db1.lab, "db1", "sudo -n -u postgres psql postgres")


def commit_in_time(said: list[str]) -> None:
    """Insert; once the gate refuses others, commit; and insert at once again."""
    client = connected()
    with client.cursor() as cursor:
        cursor.execute(INSERT, ("in time",))
        said.append("inserted")
        until(is_refused)
        client.commit()
        said.append("committed")
        try:
            cursor.execute(INSERT, ("too late",))
            client.commit()
            said.append("and once more")
        except psycopg2.Error as error:
            said.append(type(error).__name__)


def test_no_session_stays_and_none_comes_in(db1: DatabaseServer) -> None:
    """A session that stays can write after the fence, whatever the settings say: those writes would be lost."""
    idle, own_setting, superuser = connected(), connected("metrics"), connected("postgres", "night_job")
    walsender = connected("shop", "night_job", replication="database")
    writing, reading = connected(), connected(user="app_reader")
    for session in (idle, own_setting, superuser, walsender):
        session.autocommit = True
        session.cursor().execute("SELECT 1")
    writing.cursor().execute("BEGIN READ WRITE")
    writing.cursor().execute(INSERT, ("never committed",))
    reading.cursor().execute("SELECT 1")
    cron = cron_job(db1)
    assert cron.ask("SELECT 1") == "1"
    said: list[str] = []
    in_time = threading.Thread(target=commit_in_time, args=(said,))
    in_time.start()
    until(lambda: said == ["inserted"])

    facts = gate(db1, Phase.READONLY)

    in_time.join()
    for session in (idle, own_setting, superuser, walsender, writing, reading):
        with pytest.raises(psycopg2.OperationalError):
            session.cursor().execute("SELECT 1")
    assert cron.ask("SELECT 1") != "1"
    assert said[:2] == ["inserted", "committed"]
    assert said[2] != "and once more"
    assert [inserted(db1, client) for client in ("in time", "too late", "never committed")] == [1, 0, 0]
    assert is_refused() and is_refused("metrics") and is_refused("shop", "app_reader")
    assert is_refused("postgres", "night_job")
    assert 'pg_hba.conf rejects connection for host "[local]", user "postgres"' in cron_job(db1).ask("SELECT 1")
    assert db1.journal()["fence"] == facts["fence"]
    replayed = f"SELECT pg_last_wal_replay_lsn() > '{facts['fence']['lsn']}'"
    replica = db1.lab.host(READS_FROM)
    until(lambda: databases.psql(replica, "postgres", replayed).strip() == "t")
    assert databases.psql(replica, "postgres", "SELECT status FROM pg_stat_wal_receiver").strip() == "streaming"
    assert databases.psql(replica, "shop", "SELECT count(*) FROM ledger WHERE client = 'in time'").strip() == "1"

    gate(db1, Phase.PREPARE)

    with closing(connected()) as client:
        client.cursor().execute(INSERT, ("after",))
    assert cron_job(db1).ask("SELECT 1") == "1"


class HalfWay:
    """A client that stops in the middle of being let in: the server has asked for the password, and waits."""

    def __init__(self) -> None:
        self._made = connected(async_=True, sslmode="disable")
        while self._made.poll() == POLL_WRITE:
            select.select([], [self._made], [], 5)
        assert select.select([self._made], [], [], 5)[0]

    def answer(self) -> None:
        """Send the password, and whatever else it takes."""
        with suppress(psycopg2.Error):
            self._wait()

    def writes(self) -> bool:
        """Whether it is inside, and a write of its own is accepted."""
        try:
            cursor = self._made.cursor()
            cursor.execute(f"BEGIN READ WRITE; {INSERT}; COMMIT", ("half-way",))
            self._wait()
        except psycopg2.Error:
            return False
        return True

    def _wait(self) -> None:
        while (state := self._made.poll()) != POLL_OK:
            ready = ([self._made], []) if state == POLL_READ else ([], [self._made])
            select.select(*ready, [], 5)


def test_who_was_being_let_in_when_the_rules_changed_is_not_inside_afterwards(db1: DatabaseServer) -> None:
    """Such a client comes in under the old rules, and shows in pg_stat_activity only when it is in: it is easily missed."""
    early, late = [HalfWay() for _ in range(40)], [HalfWay() for _ in range(3)]
    mute = socket.create_connection((named("db1").address, databases.PORT), timeout=5)
    anybody = HalfWay()
    anybody.answer()
    assert anybody.writes()
    began = db1.start(Verb.CLIENT_GATE, db1.desire(Phase.READONLY).old_primary_gate())
    for client in early:
        client.answer()
        time.sleep(0.03)
    _, said = began.communicate()
    assert began.returncode == 0, said
    for client in late:
        client.answer()
    assert [client for client in (*early, *late) if client.writes()] == []
    parameters = b"user\0app_writer\0database\0shop\0\0"
    with pytest.raises(OSError), closing(mute):
        mute.sendall(struct.pack("!ii", len(parameters) + 8, 196608) + parameters)
        if mute.recv(1) in (b"", b"E"):
            raise ConnectionResetError
    assert gate(db1, Phase.READONLY)["changed"] == []
    assert inserted(db1, "half-way") == 1


def test_opening_gives_back_every_byte_and_setting(db1: DatabaseServer) -> None:
    """Rules that somebody wrote, or a setting that somebody made, would be gone after the upgrade was called off."""
    before = {file: db1.content(f"{file}.before-test") for file in (db1.hba, db1.ident)}
    db1.psql("postgres", "ALTER SYSTEM SET autovacuum = on")
    settings = db1.psql("postgres", GATE_SETTINGS)
    look = ["stat", "--format=%n %a %U:%G", db1.hba, db1.ident]
    modes = db1.host.run(look)
    gate(db1, Phase.READONLY)
    assert db1.psql("postgres", GATE_SETTINGS) != settings
    gate(db1, Phase.PREPARE)
    assert db1.psql("postgres", GATE_SETTINGS) == settings == "autovacuum|on\n"
    assert db1.psql("postgres", "SHOW autovacuum; SHOW default_transaction_read_only").split() == ["on", "off"]
    assert db1.host.run(look) == modes
    for file, content in before.items():
        _, rest = db1.content(file).split(END.encode())
        assert rest == content + "# für alle\r\n# no line end here".encode()
    db1.psql("postgres", "ALTER SYSTEM RESET autovacuum")


@pytest.mark.parametrize("phase", [Phase.READONLY, Phase.PREPARE])
def test_the_second_time_nothing_changes(db1: DatabaseServer, phase: Phase) -> None:
    """`up` again is the repair: it must not move the fence, nor end sessions of a database that is open."""
    gate(db1, Phase.READONLY)
    gate(db1, phase)
    before = db1.state()
    client = connected() if phase is Phase.PREPARE else None
    assert gate(db1, phase)["changed"] == []
    assert db1.state() == before
    if client:
        client.cursor().execute("SELECT 1")


@pytest.mark.parametrize("phase", [Phase.READONLY, Phase.PREPARE])
def test_two_runs_at_once_end_as_one(db1: DatabaseServer, phase: Phase) -> None:
    """An operator who hangs up and starts again has two runs on the server."""
    if phase is Phase.PREPARE:
        gate(db1, Phase.READONLY)
    both = [db1.start(Verb.CLIENT_GATE, db1.desire(phase).old_primary_gate()) for _ in range(2)]
    ended = [(run.communicate(), run.returncode) for run in both]
    assert [status for _, status in ended] == [0, 0], ended
    facts = [json.loads(out) for (out, _), _ in ended]
    assert sorted(bool(run["changed"]) for run in facts) == [False, True]
    assert facts[0].get("fence") == facts[1].get("fence")
    assert is_refused() is (phase is Phase.READONLY)


# Runs the agent, which kills itself before the first change that is not spared, and says on standard error which that was.
DYING = f"""
import json, os, signal, sys
sys.path.insert(0, {INSTALLED!r})
from agent import __main__ as agent
from agent.server import Server
spared, run, write = json.loads(sys.argv.pop(1)), Server.run, Server.write_durably
def change(what):
    if what not in spared:
        print(what, file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
def dying_run(self, *argv, **more):
    sql = more.get("stdin") or ""
    for word in ("ALTER SYSTEM", "pg_terminate_backend", "pg_switch_wal"):
        if word in sql:
            change(sql if word == "ALTER SYSTEM" else word)
    if argv[0] == "kill":
        change("reload")
    return run(self, *argv, **more)
def dying_write(self, file, *rest, **more):
    change(file)
    return write(self, file, *rest, **more)
Server.run, Server.write_durably = dying_run, dying_write
sys.exit(agent.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("phase", [Phase.READONLY, Phase.PREPARE])
def test_a_run_that_dies_anywhere_is_taken_up_by_the_next(db1: DatabaseServer, phase: Phase) -> None:
    """A server that died half-way, and lets clients in while its journal says sealed, would lose what they write."""
    files = {db1.hba, f"{STATE}/journal.json", f"{STATE}/seal.json"}
    if phase is Phase.PREPARE:
        gate(db1, Phase.READONLY)
    died: list[str] = []
    while True:
        program = f"sudo -n /usr/bin/env python3 -I -c {shlex.quote(DYING)} {shlex.quote(json.dumps(died))}"
        run = db1.start(Verb.CLIENT_GATE, db1.desire(phase).old_primary_gate(), program)
        _, said = run.communicate()
        if run.returncode == 0:
            break
        died.append(said.splitlines()[-1])
        assert db1.journal()["authority"] == "holds" or is_refused()
    settings = {point for point in died if point.startswith("ALTER SYSTEM")}
    own = {"pg_terminate_backend", "pg_switch_wal"} if phase is Phase.READONLY else set()
    assert len(settings) == 2
    assert set(died) == files | settings | {"reload"} | own
    assert gate(db1, phase)["changed"] == []
    assert is_refused() is (phase is Phase.READONLY)
    assert db1.journal()["authority"] == ("sealed" if phase is Phase.READONLY else "holds")
