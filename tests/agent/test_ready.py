"""What must hold before writes are refused, looked at right after a way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import pg_upgrade, preflight, ready, trial
from agent.report import Facts, Refusal
from agent.server import Completed
from components.desired import Desire
from components.settings import Settings
from tests.agent.fake_server import FakeServer
from tests.unit.example_config import config

SETTINGS = Settings.from_config({**config(), "phase": "readonly", "limits": {"lagSeconds": 5}})
DESIRED = {**Desire(SETTINGS).ready("DB_A"), "address": SETTINGS.target.address, "preflight": {}, "round": 1}


def db_a(root: Path, built_after: float) -> FakeServer:
    """DB_A, on which the unit that makes it is under way for so many seconds more."""
    server = FakeServer(root)
    state = {True: Completed(0, "active\n", ""), False: Completed(3, "inactive\n", "")}
    server.programs["systemctl"] = lambda _: state[server.clock < built_after]
    return server


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each look was taken at a DB_A that must stand still for it."""
    at: list[float] = []

    def check_standby(server: FakeServer, *_: object) -> Facts:
        at.append(server.clock)
        return {}

    monkeypatch.setattr(preflight, "refuse_open", lambda _, server: at.append(server.clock))
    monkeypatch.setattr(pg_upgrade, "check_standby", check_standby)
    monkeypatch.setattr(trial, "hold", check_standby)
    return at


def test_it_waits_until_db_a_is_built_anew(tmp_path: Path, looked: list[float]) -> None:
    """Beside the rebuild it found half a cluster, and told a missing log file as something to mend on the old primary."""
    ready.ready(DESIRED, db_a(tmp_path, built_after=3))
    assert len(looked) == 3
    assert min(looked) >= 3


def test_it_does_not_wait_for_a_base_backup_of_hours(tmp_path: Path, looked: list[float]) -> None:
    """An `up` that stands still says nothing."""
    with pytest.raises(Refusal, match="DB_A to be built anew") as refused:
        ready.ready(DESIRED, db_a(tmp_path, built_after=10_000))
    assert "5 s" in str(refused.value)
    assert "pulumi config set phase prepare && pulumi config set round 2 && pulumi up" in str(refused.value)
    assert looked == []
