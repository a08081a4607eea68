"""What clients still hold on an old replica after their names left it; and who may be the role pgleap."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agent.client_rules import READER
from agent.postgres import PASSWORD_FILE
from agent.states import Phase, Verb
from components.phases import Lead
from rehearsal.lab.fleet import OLD_VERSION, named
from rehearsal.lab.lab import Lab
from tests.lab.agent_by_hand import PASSWORD, STATE, DatabaseServer, Session, gate, prepared_primary

pytestmark = pytest.mark.lab

GRACE = 1
INSIDE = (
    "SELECT host(client_addr), state, count(*) FROM pg_stat_activity"
    " WHERE usename = 'app_reader' AND client_addr IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
)


@pytest.fixture(scope="module")
def db1(filled_lab: Lab) -> Iterator[DatabaseServer]:
    with prepared_primary(filled_lab) as server:
        yield server


@pytest.fixture
def db3(filled_lab: Lab, db1: DatabaseServer) -> Iterator[DatabaseServer]:
    """An old replica with pgleap's way in, whose role came with the stream."""
    server = DatabaseServer(filled_lab, "db3", OLD_VERSION, graceSeconds=GRACE)
    server.run(Verb.ACCESS, server.desire(Phase.PREPARE).access())
    yield server
    server.leave_as_found()


def reader(lab: Lab, on: str) -> Session:
    """A session of app_reader on db3, from the server `on`."""
    login = f"host={named('db3').address} user=app_reader password=the-reader-of-the-lab dbname=shop"
    session = Session(lab, on, f"psql '{login}'")
    assert session.ask("SELECT 1") == "1"
    return session


def test_idle_sessions_of_servers_whose_names_left_are_ended(db3: DatabaseServer) -> None:
    """A pool goes on finding its old connections alive, and every write through them fails."""
    lab = db3.lab
    desire = db3.desire(Phase.PREPARE)
    online = desire.settings.online
    (replica,) = (server for server in desire.settings.replicas if server.name == "db3")

    def run(lead: Lead) -> dict[str, Any]:
        return db3.run(Verb.SESSIONS, desire.sessions(replica, "online", online, lead))

    idle = [reader(lab, "web1"), reader(lab, "web1"), reader(lab, "web2")]
    at_work, elsewhere = reader(lab, "web2"), reader(lab, "web3")
    at_work.tell("SELECT pg_sleep(60);")
    as_it_was = run(Lead.AS_THEY_WERE)
    assert as_it_was["changed"] == run(Lead.AS_THEY_WERE)["changed"] == []
    assert run(Lead.DB_B)["changed"] == [], "while writes are refused they read on where they are"
    assert [session.ask("SELECT 1") for session in (*idle, elsewhere)] == ["1"] * 4
    time.sleep(0.05)

    facts = run(Lead.DB_A)

    assert facts["changed"] == ["ended 3 idle sessions"]
    assert facts["still at work"] == {named("web2").address: 1}
    assert db3.psql("postgres", INSIDE).split() == [
        f"{named('web2').address}|active|1",
        f"{named('web3').address}|idle|1",
    ]
    assert all(session.ask("SELECT 1") != "1" for session in idle)
    assert elsewhere.ask("SELECT 1") == "1"
    again = reader(lab, "web1")
    assert run(Lead.DB_A)["changed"] == []
    assert again.ask("SELECT 1") == "1"
    db3.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")


def test_who_comes_after_the_names_have_moved_stays(db3: DatabaseServer) -> None:
    """On the way back other names still lead here: pools that come back would be cut off again and again, for the whole grace."""
    lab = db3.lab
    desire = db3.desire(Phase.PREPARE)
    (replica,) = (server for server in desire.settings.replicas if server.name == "db3")
    told = {**desire.sessions(replica, "others", desire.settings.drained, Lead.DB_A), "graceSeconds": 30}
    db3.run(Verb.SESSIONS, desire.sessions(replica, "others", desire.settings.drained, Lead.AS_THEY_WERE))
    at_work = reader(lab, "web3")
    at_work.tell("SELECT pg_sleep(6);")
    with ThreadPoolExecutor() as pool:
        began = time.monotonic()
        verb = pool.submit(db3.run, Verb.SESSIONS, told)
        time.sleep(3)
        newcomer = reader(lab, "web3")
        facts = verb.result()
    assert facts["because"].endswith("left this database")
    assert time.monotonic() - began < 20, "it waits for the newcomer to go"
    assert newcomer.ask("SELECT 1") == "1"
    db3.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app_reader'")


def as_pgleap(lab: Lab, on: str, database: str = "postgres", password: str | None = None) -> Session:
    given = f"PGPASSWORD='{password}'" if password else f"PGPASSFILE={PASSWORD_FILE}"
    return Session(lab, on, f"sudo -n env {given} psql -h {named('db1').address} -U {READER} {database}")


def test_the_role_pgleap_comes_from_db_a_only_and_sees_little(db1: DatabaseServer) -> None:
    """Its password lies on two servers: whoever finds it must not get the data with it."""
    lab = db1.lab
    lab.host("db-a").write(PASSWORD_FILE, db1.content(PASSWORD_FILE).decode(), mode=0o600)
    journal = as_pgleap(lab, "db-a")
    assert json.loads(journal.ask("SELECT pgleap.journal()"))["authority"] == "holds"
    for forbidden in ("TABLE pg_authid", "SELECT pg_read_file('PG_VERSION')", "CREATE TABLE mine ()"):
        assert "permission denied" in journal.ask(forbidden), forbidden
    assert "password authentication failed" in as_pgleap(lab, "db-a", password="another").ask("SELECT 1")
    # The reverse stream comes to every database as this role; of what is in there it sees no row.
    shop = as_pgleap(lab, "db-a", "shop")
    for forbidden in ("TABLE customer", "CREATE TABLE public.mine ()"):
        assert "permission denied" in shop.ask(forbidden), forbidden
    for elsewhere in ("db1", "db2", "web1"):
        assert "pg_hba.conf" in as_pgleap(lab, elsewhere, password=PASSWORD.replace("'", "'\\''")).ask("SELECT 1")
    login = f"host={db1.address} user=app_writer password=the-writer-of-the-lab dbname=postgres"
    somebody = Session(lab, "web1", f"psql '{login}'")
    for function in ("journal", "settings", "rules"):
        assert "permission denied" in somebody.ask(f"SELECT pgleap.{function}()")
    lab.host("db-a").run(["rm", "-r", STATE])


def test_the_password_shows_nowhere(db1: DatabaseServer) -> None:
    """A log or a list of processes is read by more people than may be pgleap."""
    secret = "never-to-be-seen"
    db1.psql("postgres", "ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()")
    watch = "while sleep 0.01; do ps -eo args; done > /var/tmp/ps"
    db1.host.run(["systemd-run", "--quiet", "--unit=watch-ps", "sh", "-c", watch])
    desire = db1.desire(Phase.PREPARE)
    told = {"owns_role": True, "postgres": desire.old_postgres()}
    assert db1.run(Verb.CREDENTIALS, {**told, "password": secret})["changed"]
    gate(db1, Phase.READONLY)
    refusal = db1.refused(Verb.CREDENTIALS, {**told, "password": f"{secret}-either"})
    assert "as it was before the database was sealed" in refusal
    assert secret not in refusal
    gate(db1, Phase.PREPARE)
    db1.run(Verb.CREDENTIALS, {**told, "password": PASSWORD})
    db1.host.run(["systemctl", "stop", "watch-ps"])
    db1.psql("postgres", "ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()")
    db1.host.run(["sh", "-c", "journalctl > /var/tmp/journal"])
    everywhere = ["/var/tmp", "/var/log", STATE]
    seen = ["sh", "-c", f"grep -rEl -e '{secret}' -e 'SCRAM-SHA-256.4096' {' '.join(everywhere)}; true"]
    assert db1.host.run(seen) == ""
    for file, word in (("/var/tmp/ps", "agent.pyz credentials"), ("/var/tmp/journal", "sshd")):
        assert word.encode() in db1.content(file), file
    assert "rolpassword" in db1.host.run(["sh", "-c", "cat /var/log/postgresql/*.log"])
    assert db1.host.run(["stat", "--format=%a %U", PASSWORD_FILE]) == "600 postgres\n"
    db1.host.run(["rm", "/var/tmp/ps", "/var/tmp/journal"])
