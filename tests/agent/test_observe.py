"""The verb `observe`: it tells what is there whatever is missing or broken, and leaves no trace."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import statistics
from agent.__main__ import act
from agent.client_rules import with_rules
from agent.journal import JOURNAL_FILE, Authority, Fence, Journal
from agent.observe import observe
from agent.onlooker import Onlooker
from agent.server import STATE_FOLDER, Completed
from agent.states import Phase, Verb
from tests.agent.fake_server import FakeServer

DATA = "/var/lib/postgresql/15/main"
HBA = "/etc/postgresql/15/main/pg_hba.conf"
CLUSTER = {"version": 15, "layout": "debian", "cluster": "main", "port": 5432, "superuser": "postgres"}
DATABASE = {"server": "db1", "address": "10.0.0.11", "round": 1, "clusters": [CLUSTER]}
PSQL = "/usr/lib/postgresql/15/bin/psql"
CONTROL = "/usr/lib/postgresql/15/bin/pg_controldata"
JOURNAL = Journal(Phase.READONLY, 3, finished=True, authority=Authority.SEALED, epoch=1, fence=Fence(742, "0/4000000"))
INSIDE = {"version": "15.13", "inRecovery": False, "nextTransaction": 742, "sessions": []}
REJECTED = 'FATAL:  pg_hba.conf rejects connection for host "10.0.0.11"'


def answers(stdout: str = "", status: int = 0, stderr: str = "") -> Any:
    return lambda _: Completed(status, stdout, stderr)


def write(server: FakeServer, path: str, text: str) -> None:
    file = server.path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def trace(server: FakeServer) -> dict[str, tuple[int, bytes]]:
    """Every file with its time of change."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(server.root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def server(tmp_path: Path) -> FakeServer:
    fake = FakeServer(tmp_path)
    fake.programs["systemctl"] = lambda argv: (
        Completed(0, "", "") if argv[0] == "list-units" else Completed(3, "inactive\n", "")
    )
    return fake


@pytest.fixture
def primary(server: FakeServer) -> Iterator[FakeServer]:
    """A primary that runs, sealed, with a journal."""
    write(server, f"{DATA}/PG_VERSION", "15\n")
    write(server, f"{DATA}/postmaster.pid", "4242\n")
    write(server, "/proc/4242/comm", "postgres\n")
    write(server, "/usr/lib/postgresql/15/bin/postgres", "")
    write(server, HBA, with_rules("host all all all scram-sha-256\n", ["10.0.0.14"], sealed=True))
    write(server, JOURNAL_FILE, json.dumps(JOURNAL.to_json()))
    server.programs[CONTROL] = answers("Database cluster state:               in production\n")
    server.programs[PSQL] = lambda argv: (
        Completed(2, "", REJECTED) if "-w" in argv else Completed(0, json.dumps([INSIDE]), "")
    )
    yield server


def test_a_database_is_told_whole(primary: FakeServer) -> None:
    """A status that leaves the gate or the journal out lets an operator take a half-sealed database for sealed."""
    facts = observe(DATABASE, primary)
    cluster = facts["clusters"]["15"]
    assert facts["journal"] == JOURNAL.to_json()
    assert (cluster["installed"], cluster["there"], cluster["running"]) == (True, True, True)
    assert cluster["state"] == "in production"
    assert cluster["inside"] == INSIDE
    assert cluster["freeBytes"] > 0
    gate = cluster["gate"]
    assert (gate["rules"], gate["fromHere"]) == ("sealed", None)
    assert json.dumps(facts)


def test_the_gate_is_told_as_it_is_and_not_as_its_rules_read(primary: FakeServer) -> None:
    """Rules that were written and never read by PostgreSQL keep nobody out."""
    primary.programs[PSQL] = answers(status=2, stderr="fe_sendauth: no password supplied")
    gate = observe(DATABASE, primary)["clusters"]["15"]["gate"]
    assert (gate["rules"], gate["fromHere"]) == ("sealed", "fe_sendauth: no password supplied")
    primary.programs[PSQL] = answers("1")
    assert observe(DATABASE, primary)["clusters"]["15"]["gate"]["fromHere"] == "the connection was let in"


def test_nothing_is_written_and_no_lock_is_waited_for(primary: FakeServer) -> None:
    """A status that waited for a step would be silent just when it is asked for, and one that held a step up would be worse."""
    before = trace(primary)
    with primary.only_one("agent", patience=0):
        lock = primary.path(f"{STATE_FOLDER}/agent.lock")
        told: list[Any] = []
        looking = threading.Thread(target=lambda: told.append(act(Verb.OBSERVE, DATABASE, primary)))
        looking.start()
        looking.join(timeout=20)
        assert told[0]["verb"] == "observe"
        assert primary.clock == 0, "it waited"
    lock.unlink()
    assert trace(primary) == before
    with pytest.raises(AssertionError):
        Onlooker(primary).write_json(JOURNAL_FILE, {})


def test_a_server_where_postgresql_is_down_is_told_from_its_files(primary: FakeServer) -> None:
    """A postmaster's lock file that a crash left behind is no running PostgreSQL."""
    primary.path("/proc/4242/comm").unlink()
    primary.programs[CONTROL] = answers("Database cluster state:               shut down\n")
    cluster = observe(DATABASE, primary)["clusters"]["15"]
    assert (cluster["there"], cluster["running"], cluster["state"]) == (True, False, "shut down")
    assert "inside" not in cluster
    write(primary, f"{DATA}/global/pg_control.old", "")
    assert observe(DATABASE, primary)["clusters"]["15"]["state"] == "linked to the new version"


def test_before_the_access_rules_nothing_is_tried_that_would_fill_the_log(primary: FakeServer) -> None:
    """Every failed login stands in the log of a production database, for somebody to wonder about."""
    write(primary, HBA, "host all all all scram-sha-256\n")
    primary.programs[PSQL] = answers(status=2, stderr="fe_sendauth: no password supplied")
    cluster = observe(DATABASE, primary)["clusters"]["15"]
    assert "no login yet" in cluster["inside"]["not seen"]
    assert cluster["gate"]["rules"] == "none of pgleap's"
    assert cluster["state"] == "in production"
    tried = [argv for argv in primary.ran if argv[0] == PSQL]
    assert len(tried) == 1
    assert "-w" in tried[0], "from outside, and without a password"


def test_an_empty_server_is_told_too(server: FakeServer) -> None:
    """Before `prepare` DB_A has no cluster, no journal and no state folder."""
    facts = observe(DATABASE, server)
    cluster = facts["clusters"]["15"]
    assert facts["journal"] is None
    assert facts["target"] is None
    assert (cluster["installed"], cluster["there"], cluster["running"]) == (False, False, False)
    assert cluster["freeBytes"] > 0, "of the disk on which it will be"


@pytest.mark.parametrize("broken", ["", "{", "4242", '{"phase": "now"}'])
def test_a_journal_that_cannot_be_read_hides_nothing_else(primary: FakeServer, broken: str) -> None:
    """On the night when a file is damaged, status is what is run first."""
    write(primary, JOURNAL_FILE, broken)
    write(primary, f"{DATA}/postmaster.pid", broken)
    facts = observe(DATABASE, primary)
    assert set(facts["journal"]) == {"not seen"}
    assert facts["clusters"]["15"]["state"] == "in production"
    assert json.dumps(facts)


def test_names_tasks_and_units(server: FakeServer) -> None:
    """A hosts file can be right while a cache answers otherwise; a unit can be at rest and be started by its timer."""
    shown = "LoadState=loaded\nActiveState=inactive\nType=simple\n"
    listed = "pgleap-statistics.service loaded active running vacuumdb\n"
    server.programs["systemctl"] = lambda argv: Completed(0, shown if argv[0] == "show" else listed, "")
    server.programs["getent"] = answers("10.0.0.12 STREAM db1.internal.ln\n10.0.0.12 DGRAM\n10.0.0.12 RAW\n")
    write(server, "/etc/systemd/system/celery.service.d/zz-pgleap.conf", "")
    write(server, f"{STATE_FOLDER}/tasks.json", '{"celery.service": {"was running": true}}')
    desired = {**DATABASE, "names": ["db1.internal.ln"], "tasks": ["celery.service"]}
    facts = observe(desired, server)
    assert facts["names"] == {"db1.internal.ln": ["10.0.0.12"]}
    assert facts["tasks"]["celery.service"] == {
        "loaded": "loaded", "active": "inactive", "type": "simple", "held": True, "ranBefore": True,
    }  # fmt: skip
    assert facts["units"] == {"pgleap-statistics.service": "active"}


def test_statistics_that_are_owed(primary: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that failed was gone, and what it had not done looked done."""
    assert observe(DATABASE, primary)["statistics"] is None
    write(primary, statistics.OWED_FILE, '{"owed": true}')
    monkeypatch.setattr("agent.postgres.Postgres.rows", lambda *_: [])
    for said, state in (("active", "running"), ("activating", "running"), ("failed", "failed"), ("inactive", "owed")):
        primary.programs["systemctl"] = answers(said)
        assert observe(DATABASE, primary)["statistics"] == {"state": state, "without": {}}


def test_a_rebuild_under_way_and_one_that_refused(server: FakeServer) -> None:
    """On the way back `up` only starts the base backup: where else would anybody read that it failed?"""
    write(server, f"{STATE_FOLDER}/target.json", '{"baseBackup": "under way"}')
    write(server, f"{STATE_FOLDER}/upgrade-target.request.json", '{"database": "old-version standby"}')
    write(server, f"{STATE_FOLDER}/upgrade-target.progress", "base backup from db1: 41 %\nbase backup from db1: 42 %\n")
    server.programs["systemctl"] = answers("active\n")
    target = observe(DATABASE, server)["target"]
    assert (target["underWay"], target["said"]) == (True, "base backup from db1: 42 %")
    server.programs["systemctl"] = answers("inactive\n", 3)
    refusal = {"expected": "room", "found": "a full disk", "do": "make room"}
    write(server, f"{STATE_FOLDER}/upgrade-target.result.json", json.dumps({"refusal": refusal}))
    target = observe(DATABASE, server)["target"]
    assert target["underWay"] is False
    assert "a full disk" in target["refused"]
