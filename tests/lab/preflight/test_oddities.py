"""`scripts/preflight` on a fleet that is odd in five ways at once, before anything was prepared: every check that can be made is there."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from agent.check_names import CheckName
from rehearsal.lab.databases import psql
from rehearsal.stage import Stage
from tests.lab.preflight.test_preflight import Fault, shell, sql
from tests.lab.preflight_seen import report, with_status

pytestmark = pytest.mark.lab

RULES = "/etc/postgresql/15/main/pg_hba.conf"
SSHD = "/etc/ssh/sshd_config"


def oddities(it: Stage) -> dict[tuple[CheckName, str], Fault]:
    """By the check that is to find each, and the server that it is planted on."""
    reload = "systemctl reload postgresql@15-main"
    return {
        (CheckName.LOCAL_LOGIN, "db2"): shell(
            it,
            "db2",
            f"cp -p {RULES} /root/hba; sed -i 's/^local .*/local all all scram-sha-256/' {RULES}; {reload}",
            f"cp -p /root/hba {RULES}; {reload}",
        ),
        (CheckName.DELIVERY, "web3"): shell(
            it,
            "web3",
            f"cp -p {SSHD} /root/sshd; sed -i '/^Subsystem/d' {SSHD}; systemctl reload ssh",
            f"cp -p /root/sshd {SSHD}; systemctl reload ssh",
        ),
        (CheckName.DELIVERY, "web4"): shell(
            it,
            "web4",
            "cp -p /home/deploy/.bashrc /root/bashrc 2>/dev/null || touch /root/bashrc; echo 'echo Welcome' > /home/deploy/.bashrc",
            "cp -p /root/bashrc /home/deploy/.bashrc",
        ),
        (CheckName.NAME_RESOLUTION, "web2"): shell(it, "web2", "chmod 600 /etc/hosts", "chmod 644 /etc/hosts"),
        (CheckName.CONNECTION_LIMITS, "db1"): sql(
            it, "ALTER DATABASE shop CONNECTION LIMIT 0;", "ALTER DATABASE shop CONNECTION LIMIT -1;"
        ),
    }


def test_five_oddities_at_once(on_stage: Stage) -> None:
    """Each took all checks of its server with it, or was not seen until a step failed over it."""
    before = report(on_stage)
    planted = oddities(on_stage)
    with ExitStack() as stack:
        for fault in planted.values():
            stack.enter_context(fault)
        found = report(on_stage)
    refused = with_status(found, "refuse")
    missed = [f"{check.value} on {server}" for check, server in planted if server not in refused.get(check.value, {})]
    assert missed == []
    assert "password" in str(refused["local-login"]["db2"])
    assert {row["name"] for row in found["checks"]} == {row["name"] for row in before["checks"]}
    # What was looked at on the other servers is looked at now; on db2 everything that needs no login.
    now = {row["name"]: row for row in found["checks"]}
    for row in before["checks"]:
        lost = set(row["checkedOn"]) - set(now[row["name"]]["checkedOn"])
        assert lost <= {"db2"}, f"{row['name']} is not looked at on {lost} any more"
        if "db2" in lost:
            assert "could not be looked at" in now[row["name"]]["notChecked"]["db2"]
    assert "db2" in now["cluster-managers"]["checkedOn"]
    assert psql(on_stage.lab.host("db1"), "shop", "SELECT 1;")
