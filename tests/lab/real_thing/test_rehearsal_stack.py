"""A rehearsal on the real thing, on the lab's servers under traffic: nobody notices, it measures, and nothing of it stays.

One story, in the order of its tests.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from rehearsal.engine.project import Outcome, Pulumi
from rehearsal.lab import databases
from rehearsal.lab.fleet import named
from rehearsal.lab.place import REPOSITORY
from rehearsal.rehearse import JUDGED
from rehearsal.stage import Stage
from rehearsal.traffic import install, log
from scripts.forecast.run import kept
from tests.lab.test_uninstall_on_servers import IN_THE_DATABASE, on_the_servers

pytestmark = pytest.mark.lab

# What the look of tests/lab/test_uninstall_on_servers.py does not know of.
OF_A_REHEARSAL = (
    "cd /; find var/lib/pgleap-rehearsal usr/local/lib/pgleap-rehearsal 2>/dev/null | sort;"
    " stat --format '%n %U %a %s' etc/postgresql/*/main/*.conf 2>/dev/null; true"
)
SLOT = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'pgleap_rehearsal'"
STARTED = "SELECT pg_postmaster_start_time()"
GRANTS = "SELECT datname, datacl FROM pg_database ORDER BY 1; SELECT count(*) FROM pg_proc"


class Before:
    """The fleet as it was: everything that a rehearsal has to leave so."""

    everything: dict[str, str]
    since: float


def everything(it: Stage) -> dict[str, str]:
    db1 = it.lab.host("db1")
    more = {f"{name}, more": host.run(["sh", "-c", OF_A_REHEARSAL]) for name, host in it.lab.hosts.items()}
    asked = {sql: databases.psql(db1, "postgres", sql) for sql in (IN_THE_DATABASE, STARTED, GRANTS)}
    return {**on_the_servers(it), **more, **asked}


def hosts_files(it: Stage) -> dict[str, str]:
    return {name: host.run(["cat", "/etc/hosts"]) for name, host in it.lab.hosts.items()}


def up(pulumi: Pulumi, phase: str, round_: int) -> Outcome:
    pulumi.config_set("pgleap:phase", phase)
    pulumi.config_set("pgleap:round", str(round_))
    return pulumi.up(timeout=600)


def failures(it: Stage, since: float) -> list[log.Operation]:
    """Writes that were not acknowledged, and judged reads that failed, since then."""
    install.collect(it.clients, it.logs)
    operations = [one for one in log.read(it.logs) if one.start > since]
    judged = [one for one in operations if one.kind == "write" or one.client in JUDGED]
    assert {one.kind for one in judged} == {"read", "write"}, "no traffic must not look like no failures"
    return [one for one in judged if not one.ok]


@pytest.fixture(scope="module")
def before(on_stage: Stage) -> Before:
    found = Before()
    found.everything, found.since = everything(on_stage), time.time()
    return found


def test_a_standby_beside_the_traffic(on_stage: Stage, rehearsal: Pulumi, before: Before) -> None:
    """A rehearsal that seals, leads somebody elsewhere or restarts something, in broad daylight."""
    up(rehearsal, "prepare", 1).checked()
    db1, web1 = on_stage.lab.host("db1"), on_stage.lab.host("web1")
    assert databases.psql(db1, "postgres", SLOT).strip() == "1"
    role = (
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = 'pgleap_rehearsal'"
    )
    assert databases.psql(db1, "postgres", role).strip() == "f|f|f|t"
    assert db1.run(["systemctl", "is-active", "pgleap-rehearsal-guard"]).strip() == "active"
    assert "No such file" in db1.run(["sh", "-c", "ls /var/lib/pgleap 2>&1; true"])
    refused = web1.run(
        ["sh", "-c", f"psql 'host={named('db-a').address} user=postgres dbname=postgres' -c 'SELECT 1' 2>&1; true"]
    )
    assert "pg_hba.conf" in refused
    assert rehearsal.preview("--expect-no-changes", diff=False).exit == 0
    assert failures(on_stage, before.since) == []


def test_upgraded_in_earnest_and_measured(on_stage: Stage, rehearsal: Pulumi, before: Before) -> None:
    """Figures of something else than pg_upgrade on this data; a slot that nobody reads any more."""
    up(rehearsal, "upgrade", 1).checked()
    outputs = rehearsal.outputs()
    measured: dict[str, Any] = outputs["measured"]
    assert measured["seconds"].keys() == {
        "baseBackup", "check", "promote", "stop", "pg_upgrade", "start", "firstStatistics", "statistics",
    }  # fmt: skip
    assert all(seconds > 0 for seconds in measured["seconds"].values())
    assert measured["seconds"]["firstStatistics"] < measured["seconds"]["statistics"]
    assert measured["counts"]["dataBytes"] > 10_000_000
    assert measured["counts"]["relations"] >= measured["counts"]["mostRelations"] > 0
    assert any("db2" in sentence for sentence in outputs["leftOut"])
    db1, db_a = on_stage.lab.host("db1"), on_stage.lab.host("db-a")
    assert databases.psql(db1, "postgres", SLOT).strip() == "0"
    version = db_a.run(["psql", "-XAt", "-U", "postgres", "-d", "postgres", "-c", "SHOW server_version_num"])
    assert version.startswith("17")
    for sql in ("SHOW archive_mode", "SHOW max_logical_replication_workers"):
        assert db_a.run(["psql", "-XAt", "-U", "postgres", "-d", "postgres", "-c", sql]).strip() in ("off", "0")
    assert failures(on_stage, before.since) == []


def test_a_window_and_a_rehearsal_do_not_share_a_server(on_stage: Stage, rehearsal: Pulumi) -> None:
    """The window's base backup over the rehearsal's copy."""
    done = on_stage.pulumi.up(timeout=600)
    assert done.exit != 0
    assert "no rehearsal on DB_A" in done.said
    # What the window's stack had done by then on the other servers is undone as a person would.
    uninstalled = on_stage.lab.host("db1").run(["sh", "-c", "cat /var/lib/pgleap/journal.json"])
    assert '"phase": "prepare"' in uninstalled


def test_destroy_leaves_nothing(on_stage: Stage, rehearsal: Pulumi, before: Before) -> None:
    """A slot that fills the disk, a role whose password is in a config, a cluster that nobody knows the reason of."""
    rehearsal.destroy().checked()
    on_stage.pulumi.config_set("pgleap:round", "2")
    on_stage.pulumi.up(timeout=600).checked()
    said = subprocess.run(
        [sys.executable, "-m", "scripts.uninstall", "--yes"],
        cwd=REPOSITORY, env=on_stage.pulumi.variables(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    found = everything(on_stage)
    assert {name: text for name, text in found.items() if text != before.everything[name]} == {}
    assert failures(on_stage, before.since) == []


def test_the_slot_goes_when_it_holds_too_much(on_stage: Stage, rehearsal: Pulumi) -> None:
    """DB_A is switched off and forgotten: the primary's disk fills, and production stands still."""
    rehearsal.config_set("pgleap:limits.rehearsalWalBytes", str(64 << 20))
    up(rehearsal, "prepare", 1).checked()
    db1, db_a = on_stage.lab.host("db1"), on_stage.lab.host("db-a")
    db_a.run(["systemctl", "stop", "postgresql@15-main"])
    # Random bytes: pg_wal takes them as they are.
    fill = "SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'pgleap', repeat(md5(random()::text), 1200000))"
    for _ in range(3):
        databases.psql(db1, "postgres", fill)
    deadline = time.monotonic() + 60
    while databases.psql(db1, "postgres", SLOT).strip() != "0":
        assert time.monotonic() < deadline, "the slot is still there"
        time.sleep(1)
    rehearsal.config_set("pgleap:limits.rehearsalWalBytes", str(1 << 30))
    up(rehearsal, "prepare", 2).checked()
    assert databases.psql(db1, "postgres", SLOT).strip() == "1"
    rehearsal.destroy().checked()


def test_the_command(on_stage: Stage, rehearsal: Pulumi, before: Before) -> None:
    """A rehearsal whose figures nobody finds, or that stands for ever on the primary."""
    since, hosts_before = time.time(), hosts_files(on_stage)
    records = on_stage.lab.place.root / "rehearsals.jsonl"
    lines = len(kept([records])[0])
    done = subprocess.run(
        [sys.executable, "-m", "scripts.rehearsal", "--yes"],
        cwd=REPOSITORY, env=rehearsal.variables(), capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    runs, _ = kept([records])
    assert len(runs) == lines + 1
    assert runs[-1].true_data
    assert runs[-1].seconds > 1
    assert hosts_files(on_stage) == hosts_before
    assert failures(on_stage, since) == []
    found = everything(on_stage)
    assert {name: text for name, text in found.items() if text != before.everything[name]} == {}
