"""`scripts/uninstall` on real servers: afterwards nothing tells that pgleap was ever there."""

import subprocess
import sys

import pytest

from rehearsal.lab import databases
from rehearsal.lab.place import REPOSITORY
from rehearsal.stage import Stage
from tests.lab.test_upgrade import up

pytestmark = pytest.mark.lab

# Everything that pgleap makes or changes somewhere: its own files, hosts files, rules, settings, units, DB_A's clusters.
LOOK = (
    "cd /; find var/lib/pgleap usr/local/lib/pgleap home/deploy etc/systemd/system/*.d etc/postgresql/*/main"
    " var/lib/postgresql/*/main var/lib/postgresql/space -maxdepth 1 ! -name '*.pid' 2>/dev/null | sort;"
    " cat etc/hosts etc/postgresql/*/main/pg_hba.conf etc/postgresql/*/main/pg_ident.conf"
    " var/lib/postgresql/*/main/postgresql.auto.conf 2>/dev/null; systemctl list-units --all --plain --no-legend 'pgleap-*';"
    " systemctl is-active celery.service; true"
)
IN_THE_DATABASE = (
    "SELECT rolname, rolsuper FROM pg_roles ORDER BY 1; SELECT nspname FROM pg_namespace ORDER BY 1;"
    " SELECT slot_name FROM pg_replication_slots ORDER BY 1; SELECT name, setting FROM pg_file_settings ORDER BY 1"
)


def on_the_servers(it: Stage) -> dict[str, str]:
    return {name: host.run(["sh", "-c", LOOK]) for name, host in it.lab.hosts.items()}


def everything(it: Stage) -> dict[str, str]:
    return on_the_servers(it) | {
        f"{name}'s database": databases.psql(it.lab.host(name), "postgres", IN_THE_DATABASE) for name in ("db1", "db2")
    }


def uninstall(it: Stage) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "scripts.uninstall", "--yes"]
    return subprocess.run(
        argv, cwd=REPOSITORY, env=it.pulumi.variables(), capture_output=True, text=True, timeout=300, check=False
    )


def test_nothing_is_left_behind(on_stage: Stage) -> None:
    """A superuser role, a slot that fills the disk or a rule nobody knows the reason of, found a year later."""
    before = everything(on_stage)
    up(on_stage, "prepare", 1).checked()
    prepared = everything(on_stage)
    untouched = {one.name for one in on_stage.fleet.with_role("new-replica")}
    assert {name for name in before if before[name] == prepared[name]} == untouched, (
        "a look that sees nothing proves nothing"
    )
    said = uninstall(on_stage)
    assert said.returncode == 0, said.stdout + said.stderr
    assert everything(on_stage) == before
    again = uninstall(on_stage)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("nothing of pgleap's is there") == len(on_stage.lab.hosts)
    on_stage.pulumi.run("destroy", "--yes", "--skip-preview").checked()
    assert everything(on_stage) == before, "forgetting the stack touches no server"


def test_it_is_refused_where_writes_are(on_stage: Stage) -> None:
    """Rules taken away from a sealed database would open it, beside another one."""
    up(on_stage, "prepare", 1).checked()
    up(on_stage, "readonly", 1).checked()
    sealed = on_the_servers(on_stage)
    said = uninstall(on_stage)
    assert said.returncode == 2
    assert "Found: it asks for readonly" in said.stderr
    # And by the servers themselves, if the stack is told otherwise.
    on_stage.pulumi.configure({"pgleap:phase": "prepare"})
    assert uninstall(on_stage).returncode == 2
    assert on_the_servers(on_stage) == sealed
    up(on_stage, "prepare", 2).checked()
    assert uninstall(on_stage).returncode == 0
    on_stage.pulumi.run("destroy", "--yes", "--skip-preview").checked()
