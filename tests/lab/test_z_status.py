"""`scripts/status` on the fleet that test_upgrade.py leaves behind, in a finished cutover: drift made by hand is named, and mended.

The tests run in order, after that file; each leaves the fleet without drift.
"""

import time

import pytest

from rehearsal.lab.fleet import TASKS_UNIT, named
from rehearsal.stage import Stage
from rehearsal.traffic import install
from tests.lab.status_seen import drift, found, status

pytestmark = pytest.mark.lab

OLD, NEW = named("db1"), named("db-a")
RULES = "/etc/postgresql/15/main/pg_hba.conf"


def test_the_fleet_is_as_its_phase_has_it(on_stage: Stage) -> None:
    """A status that names what is no drift is soon read by nobody."""
    install.start(on_stage.clients)
    report = found(on_stage)
    assert report["drift"] == []
    assert report["phase"] == "cutover"
    servers = report["servers"]
    assert servers["db-a"]["facts"]["clusters"]["17"]["gate"]["rules"] == "open"
    assert servers["db1"]["facts"]["clusters"]["15"]["gate"]["fromHere"] is None
    assert servers["db1"]["facts"]["journal"]["authority"] == "released to DB_A"
    table = status(on_stage)
    assert table.returncode == 0
    assert "No drift: every server is as cutover has it." in table.stdout


def test_drift_made_by_hand_is_named_and_a_higher_round_mends_it(on_stage: Stage) -> None:
    """The engine sees none of this: to it nothing changed."""
    web3, worker1 = on_stage.lab.host("web3"), on_stage.lab.host("worker1")
    web3.run(["sed", "-i", rf"s/^{NEW.address}\(.*db1.internal.ln\)/{OLD.address}\1/", "/etc/hosts"])
    worker1.run(["systemctl", "stop", TASKS_UNIT])
    names = f"web3: db1.internal.ln leads to db1 ({OLD.address}); cutover has it lead to db-a ({NEW.address})"
    task = (
        f"worker1: {TASKS_UNIT} is inactive, though cutover has it running; it is not pgleap that stopped it, so a higher"
        f" round does not start it: systemctl start {TASKS_UNIT}"
    )
    report = found(on_stage)
    assert sorted(report["drift"]) == [names, task]
    table = status(on_stage)
    assert table.returncode == 1
    assert "Drift from cutover: 2" in table.stdout
    assert f"pulumi config set round {report['round'] + 1} && pulumi up" in table.stdout

    on_stage.pulumi.configure({"pgleap:round": report["round"] + 1})
    on_stage.pulumi.up().checked()
    assert drift(on_stage) == [task], "whom pgleap did not stop it does not start"
    worker1.run(["systemctl", "start", TASKS_UNIT])
    assert drift(on_stage) == []


def test_a_second_database_that_takes_writes_is_said_first(on_stage: Stage) -> None:
    """Everything else on that page can wait; this cannot."""
    db1 = on_stage.lab.host("db1")
    reload = ["psql", "-X", "-U", "pgleap_root", "-d", "postgres", "-c", "SELECT pg_reload_conf()"]
    db1.run(["cp", "-a", RULES, f"{RULES}.kept"])
    try:
        db1.run(["sed", "-i", "/^# sealed/,/^host all all all reject/d", RULES])
        db1.run(reload)
        sentences = drift(on_stage)
    finally:
        db1.run(["mv", f"{RULES}.kept", RULES])
        db1.run(reload)
    assert sentences[0].startswith("TWO DATABASES TAKE WRITES: ")
    assert any(one.startswith("db1: ITS CLIENT GATE IS OPEN") for one in sentences)
    assert drift(on_stage) == []


def test_a_database_that_is_down_is_told_from_its_files(on_stage: Stage) -> None:
    """Nobody can log in there, and that is when somebody wants to know what it last was."""
    db3 = on_stage.lab.host("db3")
    db3.run(["pg_ctlcluster", "15", "main", "stop"])
    try:
        assert drift(on_stage) == ["db3: PostgreSQL 15 does not run (shut down in recovery)"]
    finally:
        db3.run(["pg_ctlcluster", "15", "main", "start"])
    deadline = time.monotonic() + 30
    while drift(on_stage) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert drift(on_stage) == []
