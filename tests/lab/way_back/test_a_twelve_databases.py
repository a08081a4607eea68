"""Twelve databases on an old primary with PostgreSQL's own limits: there are not workers enough to follow DB_A in each of them.

One story, before the others of this folder; it leaves the fleet in prepare, with the limits and the databases that the lab has otherwise.
"""

from __future__ import annotations

import time

import pytest

from rehearsal.lab.databases import UNIT
from rehearsal.stage import Stage, psql_as_root
from tests.lab.way_back.operator import forward, script, way_back

pytestmark = pytest.mark.way_back

MORE = tuple(f"tenant{number}" for number in range(1, 7))
# PostgreSQL's defaults (documentation, "Replication", "Resource Consumption").
DEFAULTS = {"max_logical_replication_workers": 4, "max_worker_processes": 8, "max_replication_slots": 10}
FOLLOWS_SECONDS = 60.0


def restarted(it: Stage, settings: dict[str, int | None]) -> None:
    """The old primary after a restart with these settings; None for what its files say."""
    db1 = it.lab.host("db1")
    lines = [
        f"ALTER SYSTEM {f'SET {name} = {value}' if value is not None else f'RESET {name}'};"
        for name, value in settings.items()
    ]
    psql_as_root(db1)("postgres", "\n".join(lines))
    db1.run(["systemctl", "restart", UNIT])


def test_prepare_says_that_the_limits_are_too_low(it: Stage) -> None:
    """Raising them takes a restart: after cutover, of the server that everything would come back to."""
    db1 = it.lab.host("db1")
    it.pulumi.up().checked()
    for name in MORE:
        psql_as_root(db1)("postgres", f"CREATE DATABASE {name};")
        psql_as_root(db1)(name, "CREATE TABLE kept (id int PRIMARY KEY);")
    restarted(it, dict(DEFAULTS))
    it.pulumi.config_set("pgleap:round", "2")
    it.pulumi.up().checked()
    told = it.pulumi.outputs()["afterCutover"]["against"]
    assert [one.split(" is ")[0] for one in told] == [
        "max_logical_replication_workers",
        "max_worker_processes",
        "max_replication_slots (from 18 on max_active_replication_origins)",
    ], told
    assert all("12 databases need" in one for one in told), told
    assert way_back(it)["lossless"] == "no, because"


def test_without_workers_the_way_back_is_refused_before_a_write_is(it: Stage) -> None:
    """A database that nobody follows looks like one in which nothing happened."""
    refused = script(it, "scripts.preflight")
    assert refused.returncode == 1
    assert "stream-limits" in refused.stdout
    window = script(it, "scripts.window")
    assert window.returncode == 1
    assert "stream-limits: " in window.stdout
    it.pulumi.config_set("pgleap:preflight.accept.stream-limits", "a rehearsal of what becomes of it")
    forward(it)
    found = way_back(it)
    assert found["lossless"] == "no, because"
    assert any("has no worker that applies" in one for one in found["because"]), found
    back = script(it, "scripts.window", "--back")
    assert back.returncode == 3, back.stdout + back.stderr
    assert "has no worker that applies" in back.stdout
    assert psql_as_root(it.lab.host("db-a"))("postgres", "SHOW default_transaction_read_only").strip() == "off"


def test_with_the_limits_raised_it_follows_and_goes_back(it: Stage) -> None:
    """What was written meanwhile is kept by DB_A's slots, and comes along."""
    psql_as_root(it.lab.host("db-a"))(MORE[-1], "INSERT INTO kept SELECT generate_series(1, 100);")
    restarted(it, dict.fromkeys(DEFAULTS))
    it.pulumi.up().checked()
    deadline = time.monotonic() + FOLLOWS_SECONDS
    while (found := way_back(it))["lossless"] == "no, because" and time.monotonic() < deadline:
        time.sleep(1)
    assert found["lossless"] == "yes, but for these", found
    back = script(it, "scripts.window", "--back")
    assert back.returncode == 0, back.stdout + back.stderr
    assert psql_as_root(it.lab.host("db1"))(MORE[-1], "SELECT count(*) FROM kept").strip() == "100"
    for name in MORE:
        psql_as_root(it.lab.host("db1"))("postgres", f"DROP DATABASE {name};")
    round_ = int(it.pulumi.config_get("pgleap:round")) + 1
    it.pulumi.config_set("pgleap:round", str(round_))
    it.pulumi.up().checked()  # waits until DB_A is a standby again
