"""`replicas` and `retire` on real servers, after test_z_status.py has left the fleet in a finished cutover.

One story, in the order of its tests.
"""

from __future__ import annotations

import subprocess

import pytest

from rehearsal import after, rehearse
from rehearsal.lab import databases, keys
from rehearsal.lab.fleet import named
from rehearsal.lab.place import LabError
from rehearsal.rehearse import Judgement
from rehearsal.stage import Stage, psql_as_root
from rehearsal.traffic import install
from tests.lab.said import steps
from tests.lab.status_seen import found
from tests.lab.test_uninstall_on_servers import uninstall
from tests.lab.test_upgrade import finished, up

pytestmark = pytest.mark.lab

# ssh ends, and what it began on the other server does not.
END_FORGOTTEN = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'monthly-report'"


def next_round(it: Stage) -> int:
    return int(it.pulumi.config_get("pgleap:round")) + 1


def this_round(it: Stage) -> int:
    return int(it.pulumi.config_get("pgleap:round"))


def reader_on(it: Stage, client: str) -> list[str]:
    """How a program begins that reads as the traffic does, from one of its servers, and has a name."""
    sudo = f"sudo env PGAPPNAME=monthly-report PGPASSFILE={install.PASSWORDS}"
    return ["ssh", "-F", str(keys.config(it.lab.place)), client, sudo]


def test_names_spread_over_new_replicas_that_stream(on_stage: Stage) -> None:
    """A name that leads to a replica before it streams answers with what was true an hour ago, or not at all."""
    preview = on_stage.pulumi.run(
        "preview", "--diff", "--config", "pgleap:phase=replicas", "--config", f"pgleap:round={this_round(on_stage)}",
    ).checked()  # fmt: skip
    target, heir = named("db-a").address, named("db-c").address
    assert f'~ db2.internal.ln: "{target}" => "{heir}"' in preview.stdout
    finished(on_stage, "replicas", this_round(on_stage))
    assert after.wrong_with_replicas(on_stage) == []
    assert found(on_stage)["drift"] == []
    standby = psql_as_root(on_stage.lab.host("db-c"))
    assert standby("postgres", "SHOW archive_mode").strip() == "on", "it archives once it is promoted, as DB_A does"
    assert standby("postgres", "SHOW work_mem").strip() == "8MB"


def test_back_to_cutover_leads_every_name_to_db_a(on_stage: Stage) -> None:
    """No write is refused for it; and replicas that nobody uses any more are there again at once the next time."""
    finished(on_stage, "cutover", next_round(on_stage))
    target = named("db-a").address
    assert all(set(after.leads(on_stage, one.name).values()) == {target} for one in on_stage.clients)
    done = up(on_stage, "replicas", this_round(on_stage)).checked()
    assert "base backup from db-a" not in done.said
    assert after.wrong_with_replicas(on_stage) == []


def test_retire_with_a_client_on_an_old_server_is_refused_and_names_it(on_stage: Stage) -> None:
    """A report that nobody thought of, and that finds its database by an address, would stop in the night after."""
    forgotten = subprocess.Popen(
        [
            *reader_on(on_stage, "web3"),
            f"psql -h {named('db3').address} -U app_reader -d shop -c 'SELECT pg_sleep(60)'",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        refused = up(on_stage, "retire", this_round(on_stage))
    finally:
        forgotten.terminate()
        said = forgotten.communicate()[0]
    assert refused.exit != 0, said
    assert "nobody connected to an old database server any more" in refused.said, said
    assert f"from {named('web3').address} as app_reader in shop (monthly-report)" in refused.said
    assert "postgresql@15-main" in on_stage.lab.host("db1").run(
        ["systemctl", "list-units", "--state=active", "postgresql@*"]
    )
    assert after.leads(on_stage, "web1") == on_stage.fleet.spread()


def test_retire_stops_the_old_servers_and_leaves_nothing_of_the_stream(on_stage: Stage) -> None:
    """A stream that is left fills DB_A's disk; an old server that is left is one that somebody writes to."""
    psql_as_root(on_stage.lab.host("db3"))("postgres", END_FORGOTTEN)
    finished(on_stage, "retire", this_round(on_stage))
    assert after.wrong_with_old_servers(on_stage) == []
    assert after.wrong_with_replicas(on_stage) == []
    again = up(on_stage, "retire", next_round(on_stage)).checked()
    assert len(steps(again.stdout)) > 30, "a higher round looks at everything again"
    assert found(on_stage)["drift"] == []


def test_nothing_was_lost_and_no_judged_read_failed(on_stage: Stage) -> None:
    """From the first prepare on, through everything that the files before this one did."""
    judged = Judgement()
    rehearse.judge(on_stage, judged, "db-a")
    assert judged.complaints() == []


def test_pgleap_leaves_and_the_new_fleet_stays(on_stage: Stage) -> None:
    """A superuser without a reason, found a year later; or a replica that stops with the tool that made it."""
    said = uninstall(on_stage)
    assert said.returncode == 0, said.stdout + said.stderr
    target = on_stage.lab.host("db-a")
    roles = databases.psql(target, "postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'pgleap%'")
    schemas = databases.psql(target, "shop", "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgleap'")
    streaming = databases.psql(target, "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
    assert [one.strip() for one in (roles, schemas, streaming)] == ["0", "0", "2"]
    for one in (*on_stage.fleet.new_replicas, named("db-a")):
        rules = on_stage.lab.host(one.name).run(["cat", "/etc/postgresql/17/main/pg_hba.conf"])
        assert "# pgleap: begin" not in rules
    assert all(after.leads(on_stage, one.name) == on_stage.fleet.spread() for one in on_stage.clients)
    for host in on_stage.lab.hosts.values():
        with pytest.raises(LabError):
            host.run(["test", "-e", "/var/lib/pgleap"])
