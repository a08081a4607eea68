"""What preflight asks of each server: every side gets the same keys, and the tests of the checks get no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.checks.check import Side
from components.desired import Desire
from components.desired_preflight import SIDES, preflight
from components.settings import Role, Settings
from tests.preflight.databases import BINARIES, Database
from tests.unit.example_config import config


def asked(name: str, **more: Any) -> dict[str, Any]:
    desire = Desire(Settings.from_config({**config(), **more}))
    return preflight(desire, desire.settings.servers[name])


def test_every_role_has_a_side_that_the_agent_knows() -> None:
    """A side under another name would have no checks at all, and all of them fine."""
    assert SIDES.keys() == set(Role)
    assert set(SIDES.values()) == {side.value for side in Side}


def test_every_side_gets_the_same_keys() -> None:
    keys = {name: set(asked(name)) for name in config()["servers"]}
    assert len({frozenset(found) for found in keys.values()}) == 1


@pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
def test_the_checks_tests_ask_as_the_script_does() -> None:
    """A key that only the tests give makes a check that works in no fleet."""
    assert set(Database(Path("/nowhere"), 1, BINARIES[0]).desired()) == set(asked("db1"))


def test_names_lead_where_the_phase_has_them() -> None:
    """Held against names as they were, a fleet in its window would be refused for being in it."""
    assert asked("web1")["names"]["db1.internal.ln"] == "10.77.0.11"
    assert set(asked("web1", phase="readonly")["names"].values()) == {"10.77.0.12"}
    assert asked("web3", phase="readonly")["names"]["db1.internal.ln"] == "10.77.0.11"


def test_reload() -> None:
    assert (asked("web1")["reload"], asked("web2")["reload"]) == ("systemctl reload myapp", "")
