"""The plan and the authority as the outputs tell them: what a night is agreed on, so every word of it is held to."""

from __future__ import annotations

from typing import Any

import pytest

from components.plan import authority, plan
from components.settings import Settings
from tests.unit.example_config import config, host_key

PLANS = {
    "prepare": [
        "1. db1: prepare in round 1 is announced in its journal",
        "2. db1: open, takes writes; first, if db-a had opened, it applies all that db-a took",
        "3. web1, web2: every database name leads where it led before pgleap",
        "4. db2, db3: idle sessions of online servers end where their names no longer lead",
        "5. web3, worker1, worker2: every database name leads where it led before pgleap",
        "6. db2, db3: idle sessions of the other servers end where their names no longer lead",
        "7. worker1 (celery.service), worker2 (mail@1.service): running",
        "8. db-a: prepare in round 1 is announced in its journal",
        "9. db1, db-a: the role pgleap can read the other side's journal",
        "10. db-a: a sealed standby of db1 on PostgreSQL 15, with PostgreSQL 17 installed and checked",
        "11. db-a: refuses clients",
        "12. db1, db-a: ready for prepare",
        "13. db-a, db1: prepare is marked finished",
    ],
    "readonly": [
        "1. db1, db-a: ready for readonly",
        "2. db-a: readonly in round 1 is announced in its journal",
        "3. db1: readonly in round 1 is announced in its journal",
        "4. db1, db-a: the role pgleap can read the other side's journal",
        "5. db-a: a sealed standby of db1 on PostgreSQL 15, with PostgreSQL 17 installed and checked",
        "6. worker1 (celery.service): stopped",
        "7. worker2 (mail@1.service): running",
        "8. web3, worker1, worker2: every database name leads where it led before pgleap",
        "9. db-a: refuses clients",
        "10. db2, db3: sessions of online servers stay where they are, and read on",
        "11. db2, db3: idle sessions of the other servers end where their names no longer lead",
        "12. web1, web2: every database name leads to db2 (10.77.0.12), which only reads",
        "13. db1: sealed (sessions at work get 10 s), its last write recorded as the fence",
        "14. db-a, db1: readonly is marked finished",
    ],
    "upgrade": [
        "1. db-a: upgrade in round 1 is announced in its journal",
        "2. db1: upgrade in round 1 is announced in its journal",
        "3. db1: follows db-a, if db-a has opened",
        "4. db1, db-a: ready for upgrade",
        "5. worker1 (celery.service), worker2 (mail@1.service): stopped",
        "6. db1, db-a: the role pgleap can read the other side's journal",
        "7. web3, worker1, worker2: every database name leads where it led before pgleap",
        "8. db2, db3: idle sessions of the other servers end where their names no longer lead",
        "9. db2, db3: sessions of online servers stay where they are, and read on",
        "10. web1, web2: every database name leads to db2 (10.77.0.12), which only reads",
        "11. db-a: refuses clients",
        "12. db1: sealed (sessions at work get 10 s), its last write recorded as the fence",
        "13. db-a: replays the fence, is promoted, pg_upgrade --link to PostgreSQL 17 within 600 s, started sealed",
        "14. db-a, db1: upgrade is marked finished",
    ],
    "cutover": [
        "1. db-a: cutover in round 1 is announced in its journal",
        "2. db1: cutover in round 1 is announced in its journal",
        "3. db1, db-a: the role pgleap can read the other side's journal",
        "4. db-a: replays the fence, is promoted, pg_upgrade --link to PostgreSQL 17 within 600 s, started sealed",
        "5. db1: proves that nothing was written since the fence, releases the authority to db-a",
        "6. db-a: opens, once it has read seal, fence and release from db1",
        "7. web1, web2: every database name leads to db-a (10.77.0.14)",
        "8. db2, db3: idle sessions of online servers end where their names no longer lead",
        "9. web3, worker1, worker2: every database name leads to db-a (10.77.0.14)",
        "10. db1: follows db-a by logical replication, for a way back that loses nothing",
        "11. db2, db3: idle sessions of the other servers end where their names no longer lead",
        "12. worker1 (celery.service), worker2 (mail@1.service): running",
        "13. db1, db-a: ready for cutover",
        "14. db-c, db-d: idle sessions end where names no longer lead",
        "15. db-a, db1: cutover is marked finished",
    ],
}


def settings(phase: str, **more: Any) -> Settings:
    return Settings.from_config({**config(), "phase": phase, **more})


@pytest.mark.parametrize("phase", PLANS)
def test_the_plan_of_a_phase(phase: str) -> None:
    """A sentence that says another server, state or order than what runs is agreed on, and then not what happens."""
    assert plan(settings(phase)) == PLANS[phase]


@pytest.mark.parametrize("phase", PLANS)
def test_without_workers_and_drained_servers_nothing_is_said_of_them(phase: str) -> None:
    """A sentence about nobody reads as a server that was forgotten."""
    servers = {
        name: server for name, server in config()["servers"].items() if server["role"] not in ("worker", "drained")
    }
    sentences = plan(settings(phase, servers=servers))
    gone = ("worker", "web3", "the other servers")
    assert [text.partition(". ")[2] for text in sentences] == [
        text.partition(". ")[2] for text in PLANS[phase] if not any(word in text for word in gone)
    ]
    assert [text.partition(". ")[0] for text in sentences] == [str(number) for number in range(1, len(sentences) + 1)]
    assert not any(": :" in text or text.partition(". ")[2].startswith(":") for text in sentences)


def test_workers_that_do_the_same_stand_in_one_sentence() -> None:
    """A sentence for every one of fifty workers hides the one that differs."""
    servers = config()["servers"]
    for number in range(3, 6):
        servers[f"worker{number}"] = {
            "role": "worker", "address": f"10.77.0.3{number}", "hostKey": host_key(f"worker{number}"), "tasks": ["a.service", "b.timer"],
        }  # fmt: skip
    told = [text.partition(". ")[2] for text in plan(settings("readonly", servers=servers)) if ".service)" in text]
    many = ", ".join(f"worker{number} ({unit})" for number in range(3, 6) for unit in ("a.service", "b.timer"))
    assert told == [f"worker1 (celery.service), {many}: stopped", "worker2 (mail@1.service): running"]


def test_the_plan_names_the_settings_that_it_rests_on() -> None:
    """A limit or mode that the plan states otherwise than the steps have it is found out in the window."""
    told = plan(
        settings("upgrade", postgres={"transferMode": "clone"}, limits={"upgradeSeconds": 90, "graceSeconds": 3})
    )
    assert any("pg_upgrade --clone to PostgreSQL 17 within 90 s" in text for text in told)
    assert any("sessions at work get 3 s" in text for text in told)


@pytest.mark.parametrize(
    ("phase", "who"),
    [
        ("prepare", "db1 takes writes"),
        ("readonly", "db1 holds the authority and is sealed: writes are refused, reads go to db2"),
        ("upgrade", "db1 holds the authority and is sealed: writes are refused, reads go to db2"),
        ("cutover", "db-a takes writes; db1 released its authority"),
    ],
)
def test_who_may_write(phase: str, who: str) -> None:
    """The one output that is looked at when something goes wrong."""
    assert authority(settings(phase)) == who
