"""`scripts/preflight` before anything was prepared: nothing on the fleet as it is, twelve faults once they are planted, all at once; and
once DB_A is there. One story, in the order of its tests; what `ready` makes of it is in test_upgrade.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from agent.check_names import CheckName
from rehearsal.lab import databases
from rehearsal.stage import Stage
from tests.lab.preflight_seen import SECONDS, preflight, report, strange, with_status
from tests.lab.test_status import traces

pytestmark = pytest.mark.lab

Fault = AbstractContextManager[None]


@contextmanager
def sql(it: Stage, plant: str, remove: str) -> Iterator[None]:
    databases.psql(it.lab.host("db1"), "shop", plant)
    try:
        yield
    finally:
        databases.psql(it.lab.host("db1"), "shop", remove)


@contextmanager
def shell(it: Stage, server: str, plant: str, remove: str) -> Iterator[None]:
    it.lab.host(server).run(["sh", "-ec", plant])
    try:
        yield
    finally:
        it.lab.host(server).run(["sh", "-c", remove])


def running(it: Stage, server: str, name: str) -> Fault:
    """A program of that name, which does nothing; it ends by itself after two minutes."""
    plant = f"cp /bin/sleep /run/{name}; systemd-run --quiet --collect --unit=planted /run/{name} 120"
    return shell(it, server, plant, f"systemctl stop planted; rm -f /run/{name}")


def faults(it: Stage) -> dict[tuple[CheckName, str], Fault]:
    """By the check that is to find each, and the server that it is planted on."""
    subscription = (
        "CREATE SUBSCRIPTION planted CONNECTION 'host=10.77.0.99 dbname=none connect_timeout=1' PUBLICATION none"
    )
    unsubscribe = "ALTER SUBSCRIPTION planted DISABLE; ALTER SUBSCRIPTION planted SET (slot_name = NONE); DROP SUBSCRIPTION planted;"
    return {
        (CheckName.REG_TYPES, "db1"): sql(it, "CREATE TABLE planted (p regproc);", "DROP TABLE planted;"),
        (CheckName.SUBSCRIPTIONS, "db1"): sql(
            it, f"{subscription} WITH (connect = false); ALTER SUBSCRIPTION planted ENABLE;", unsubscribe
        ),
        (CheckName.LINKS_TO_STACK, "db1"): sql(
            it,
            "CREATE EXTENSION postgres_fdw; CREATE SERVER planted FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'db2.internal.ln');",
            "DROP EXTENSION postgres_fdw CASCADE;",
        ),
        (CheckName.AUTHENTICATION, "db1"): sql(
            it,
            "SET password_encryption = 'md5'; CREATE ROLE planted_md5 LOGIN PASSWORD 'planted';",
            "DROP ROLE planted_md5;",
        ),
        (CheckName.REPLICATION_SLOTS, "db1"): sql(
            it,
            "SELECT pg_create_physical_replication_slot('planted', true);",
            "SELECT pg_drop_replication_slot('planted');",
        ),
        (CheckName.SEQUENCES, "db1"): sql(
            it,
            # Not by setval: that would stand among the statements that no standby serves ever after.
            "CREATE SEQUENCE planted_numbers AS smallint START 32000; CREATE TABLE planted_row AS SELECT nextval('planted_numbers');",
            "DROP TABLE planted_row; DROP SEQUENCE planted_numbers;",
        ),
        (CheckName.CLUSTER_MANAGERS, "db2"): running(it, "db2", "patroni"),
        (CheckName.PGBOUNCER, "web4"): running(it, "web4", "pgbouncer"),
        (CheckName.HOSTS_FILE, "worker1"): shell(
            it, "worker1", "mount --bind /etc/hosts /etc/hosts", "umount /etc/hosts"
        ),
        (CheckName.HOSTS_REWRITTEN, "web2"): shell(
            it,
            "web2",
            "mkdir -p /etc/cloud/cloud.cfg.d; echo 'manage_etc_hosts: true' > /etc/cloud/cloud.cfg.d/99_planted.cfg",
            "rm -r /etc/cloud",
        ),
        (CheckName.PORTS, "web3"): shell(
            it, "web3", "ip route add blackhole 10.77.0.13/32", "ip route del blackhole 10.77.0.13/32"
        ),
        (CheckName.SUDO, "worker2"): shell(
            it, "worker2", "mv /etc/sudoers.d/deploy /root/deploy", "mv /root/deploy /etc/sudoers.d/deploy"
        ),
    }


def test_on_the_fleet_as_it_is_nothing_refuses_and_nothing_is_left_there(on_stage: Stage) -> None:
    """A check that fires on every fleet is accepted by everybody, also where it is right."""
    before = traces(on_stage)
    found = report(on_stage)
    assert {row["name"] for row in found["checks"]} == {name.value for name in CheckName}
    assert with_status(found, "refuse") == {}
    assert strange(found) == []
    assert found["seconds"] < SECONDS
    assert traces(on_stage) == before


def test_twelve_faults_at_once_are_all_reported(on_stage: Stage) -> None:
    """One that hides another is found in the window."""
    planted = faults(on_stage)
    assert len(planted) == 12
    with ExitStack() as stack:
        for fault in planted.values():
            stack.enter_context(fault)
        found = report(on_stage)
        table = preflight(on_stage)
    seen = with_status(found, "refuse", "warn", "note")
    missed = [f"{check.value} on {server}" for check, server in planted if server not in seen.get(check.value, {})]
    assert missed == []
    assert found["seconds"] < SECONDS
    assert table.returncode == 1
    for check, server in planted:
        assert check.value in table.stdout
        assert server in table.stdout
    after = report(on_stage)
    assert with_status(after, "refuse") == {}
    assert strange(after) == []
    authentication = with_status(after, "note").get(CheckName.AUTHENTICATION.value, {})
    assert "planted_md5" not in str(authentication)


def test_preflight_has_an_answer_to_everything_once_db_a_is_there(on_stage: Stage) -> None:
    """What it could not look at before the base backup is what fails in the window."""
    on_stage.pulumi.up().checked()
    found = report(on_stage)
    assert with_status(found, "refuse") == {}
    assert strange(found) == []
    unseen = {row["name"]: row["notChecked"] for row in found["checks"] if row["status"] == "not checked"}
    assert unseen.keys() <= {"bastion"}, unseen  # the lab has none
    assert found["seconds"] < SECONDS
