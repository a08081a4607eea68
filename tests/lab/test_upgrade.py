"""The product on real servers under traffic: every move, back and forth, judged at the end by what the clients saw.

The tests of this file are one story and run in its order; each leaves the fleet where the next one begins.
"""

import json
from typing import Any

import pytest

from rehearsal import rehearse
from rehearsal.engine.project import Outcome
from rehearsal.lab.fleet import named
from rehearsal.lab.place import LabError
from rehearsal.rehearse import Judgement
from rehearsal.stage import Stage, psql_as_root
from rehearsal.traffic import install
from rehearsal.traffic.log import Operation, read
from tests.lab.said import steps

pytestmark = pytest.mark.lab

TARGET_STATE = "/var/lib/pgleap/target.json"


@pytest.fixture(scope="module")
def judged() -> Judgement:
    """What the moves of this file have seen so far."""
    return Judgement()


def up(it: Stage, phase: str, round_: int) -> Outcome:
    it.pulumi.configure({"pgleap:phase": phase, "pgleap:round": round_})
    return it.pulumi.up()


def finished(it: Stage, phase: str, round_: int) -> None:
    """Make a move; afterwards a preview shows no change, and a second `up` makes none."""
    up(it, phase, round_).checked()
    it.pulumi.preview("--expect-no-changes").checked()
    again = it.pulumi.up().checked()
    assert steps(again.stdout) == []


def journal(it: Stage, server: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(it.lab.host(server).run(["cat", "/var/lib/pgleap/journal.json"]))
    return found


def everything_on(it: Stage) -> dict[str, str]:
    """What pgleap could have changed on the servers: hosts files, rules, journals, units."""
    look = (
        "cat /etc/hosts /etc/postgresql/*/main/pg_hba.conf /var/lib/postgresql/*/main/postgresql.auto.conf"
        " /var/lib/pgleap/*.json 2>/dev/null; systemctl is-active celery.service; true"
    )
    return {name: host.run(["sh", "-c", look]) for name, host in it.lab.hosts.items()}


def operations(it: Stage) -> list[Operation]:
    install.collect(it.clients, it.logs)
    return read(it.logs)


def test_a_wrong_config_is_refused_whole_and_nothing_is_touched(on_stage: Stage) -> None:
    """A mistake found half-way leaves a fleet half-way."""
    before = everything_on(on_stage)
    file = on_stage.pulumi.project / f"Pulumi.{on_stage.pulumi.stack}.yaml"
    right = file.read_text()
    on_stage.pulumi.configure(
        {"pgleap:readsFrom": "web1", "pgleap:versions": {"old": 17, "new": 15}, "pgleap:phase": "now"}
    )
    for command in ("preview", "up"):
        refused = on_stage.pulumi.preview() if command == "preview" else on_stage.pulumi.up()
        assert refused.exit != 0
        for path in ("pgleap:readsFrom", "pgleap:versions", "pgleap:phase"):
            assert path in refused.said
    file.write_text(right)
    assert everything_on(on_stage) == before


def test_prepare(on_stage: Stage) -> None:
    """DB_A streams, sealed; nothing else has changed for anybody."""
    finished(on_stage, "prepare", 1)
    streaming = psql_as_root(on_stage.lab.host("db1"))(
        "postgres", "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'db-a' AND state = 'streaming'"
    )
    assert streaming.strip() == "1"


def test_readonly_stops_before_anything_changes_over_what_a_check_refuses(on_stage: Stage) -> None:
    """Found by pg_upgrade in the window, it costs an outage and a way back."""
    sql = psql_as_root(on_stage.lab.host("db1"))
    sql("shop", "CREATE TABLE planted (p regproc);")
    before = everything_on(on_stage)
    try:
        refused = up(on_stage, "readonly", 1)
        assert refused.exit != 0
        assert "no check of preflight to refuse" in refused.said
        assert "reg-types: " in refused.said
        assert "planted" in refused.said
        assert "pgleap:preflight.accept.reg-types" in refused.said
        assert everything_on(on_stage) == before
    finally:
        sql("shop", "DROP TABLE planted;")
    finished(on_stage, "prepare", 1)


def test_prepare_to_cutover_is_refused_in_the_preview(on_stage: Stage) -> None:
    """Skipping phases would open a DB_A that nobody upgraded."""
    before = everything_on(on_stage)
    on_stage.pulumi.configure({"pgleap:phase": "cutover"})
    preview = on_stage.pulumi.preview()
    assert preview.exit != 0
    assert "From prepare there is no move to cutover" in preview.said
    assert on_stage.pulumi.up().exit != 0
    assert everything_on(on_stage) == before


def test_readonly_and_back(on_stage: Stage) -> None:
    """Writes are refused, and work again after the way back."""
    hosts = on_stage.lab.host("web1").run(["cat", "/etc/hosts"])
    rules = on_stage.lab.host("db1").run(["cat", "/etc/postgresql/15/main/pg_hba.conf"])
    finished(on_stage, "readonly", 1)
    assert journal(on_stage, "db1")["authority"] == "sealed"
    with pytest.raises(LabError, match="rejects connection"):
        on_stage.lab.host("db1").run(["psql", "-h", "10.77.0.11", "-d", "postgres", "-c", "SELECT 1"], user="postgres")

    refused = up(on_stage, "prepare", 1)
    assert refused.exit != 0
    assert "pulumi config set round 2" in refused.said
    finished(on_stage, "prepare", 2)
    assert journal(on_stage, "db1")["authority"] == "holds"
    assert on_stage.lab.host("web1").run(["cat", "/etc/hosts"]) == hosts
    assert on_stage.lab.host("db1").run(["cat", "/etc/postgresql/15/main/pg_hba.conf"]) == rules


def test_the_engine_is_killed_once_the_gate_has_closed(on_stage: Stage) -> None:
    """To the engine nothing happened: without the round writes would stay refused with "nothing to do"."""
    on_stage.pulumi.configure({"pgleap:phase": "readonly", "pgleap:round": 2})
    engine = on_stage.pulumi.start("up", "--yes", "--skip-preview")
    assert engine.stdout is not None
    for line in engine.stdout:
        if "db1-client-gate" in line and "writes are refused" in line:
            break
    engine.kill()
    engine.wait()
    on_stage.pulumi.cancel().checked()

    refused = up(on_stage, "prepare", 2)
    assert refused.exit != 0
    assert "pulumi config set phase prepare && pulumi config set round 3 && pulumi up" in refused.said
    assert journal(on_stage, "db1")["authority"] == "sealed"
    finished(on_stage, "prepare", 3)
    assert journal(on_stage, "db1")["authority"] == "holds"


def test_the_deadline_of_the_upgrade(on_stage: Stage) -> None:
    """An upgrade without a limit holds writes back for as long as it likes; one that was ended must be able to go on."""
    finished(on_stage, "readonly", 3)
    on_stage.pulumi.configure({"pgleap:limits": {"upgradeSeconds": 1}})
    late = up(on_stage, "upgrade", 3)
    assert late.exit != 0
    assert "DB_A upgraded within 1 s (limits.upgradeSeconds)" in late.said
    assert "pulumi config set phase prepare" in late.said
    clusters = on_stage.lab.host("db-a").run(["pg_lsclusters", "--no-header"])
    assert "online" not in clusters
    on_stage.pulumi.configure({"pgleap:limits": {"upgradeSeconds": 600}})


def test_upgrade_and_back_before_db_a_is_built_anew(on_stage: Stage, judged: Judgement) -> None:
    """The way back must not make anybody wait for a base backup, which on a terabyte takes hours."""
    finished(on_stage, "upgrade", 3)
    rehearse.compare(on_stage, judged, print)
    assert judged.differing == []
    up(on_stage, "prepare", 4).checked()
    up(on_stage, "prepare", 5).checked()  # waits for the rebuild under way
    rebuilt = float(on_stage.lab.host("db-a").run(["stat", "-c", "%.9Y", TARGET_STATE]))
    assert json.loads(on_stage.lab.host("db-a").run(["cat", TARGET_STATE]))["baseBackup"] == "complete"
    writes = [one for one in operations(on_stage) if one.kind == "write" and one.server == "web1"]
    last_refused = max(one.end for one in writes if not one.ok)
    first_accepted = min(one.end for one in writes if one.ok and one.start > last_refused)
    assert first_accepted < rebuilt


def test_the_way_forward_works_again(on_stage: Stage, judged: Judgement) -> None:
    """What the way back left behind shows in the next attempt."""
    for phase in ("readonly", "upgrade"):
        finished(on_stage, phase, 5)
    rehearse.compare(on_stage, judged, print)
    assert judged.differing == []
    finished(on_stage, "cutover", 5)


def test_db_a_is_the_only_database_that_takes_writes(on_stage: Stage) -> None:
    """Names, gates and journals must tell the same story."""
    target = named("db-a").address
    for host in on_stage.clients:
        for name in ("db1.internal.ln", "db2.internal.ln", "db3.internal.ln"):
            assert host.run(["getent", "ahostsv4", name]).split()[0] == target
    psql = psql_as_root(on_stage.lab.host("db-a"))
    assert psql("postgres", "SHOW server_version_num").strip().startswith("17")
    assert psql("postgres", "SHOW default_transaction_read_only").strip() == "off"
    assert psql("postgres", "SHOW archive_mode").strip() == "on"
    assert psql("postgres", "SHOW work_mem").strip() == "8MB", "set by ALTER SYSTEM on the old primary"
    assert (journal(on_stage, "db1")["authority"], journal(on_stage, "db-a")["authority"]) == (
        "released to DB_A",
        "holds",
    )
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    assert psql_as_root(on_stage.lab.host("db1"))("postgres", sessions).strip() == "0"
    with pytest.raises(LabError):
        on_stage.lab.host("web1").run(
            ["psql", "-h", named("db1").address, "-U", "app_writer", "-d", "shop", "-c", "SELECT 1"]
        )


def test_nothing_was_lost_and_no_judged_read_failed(on_stage: Stage, judged: Judgement) -> None:
    """The whole story, move after move: every acknowledged write is found again on DB_A."""
    rehearse.judge(on_stage, judged, "db-a")
    assert judged.complaints() == []
    assert judged.ledger is not None
    assert judged.ledger.acknowledged > 1000
