"""The verb `uninstall`: it refuses where somebody rests on what pgleap holds, and may be run again. The rest is in the lab."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import hosts_file, journal, offline_tasks
from agent.install import INSTALLED
from agent.journal import Authority, Journal
from agent.report import Refusal
from agent.server import STATE_FOLDER, Completed
from agent.states import Phase
from agent.uninstall import uninstall
from tests.agent.fake_server import FakeServer

CLIENT = {"server": "web1", "address": "10.0.0.21", "round": 1, "phase": "prepare", "part": "client", "user": "root"}
CLUSTER = {"version": 15, "layout": "debian", "cluster": "main", "port": 5432, "superuser": "postgres"}
PRIMARY = {**CLIENT, "server": "db1", "part": "old primary", "postgres": CLUSTER}
PREPARED = Journal(Phase.PREPARE, 3, True, Authority.HOLDS, epoch=1)


@pytest.fixture
def server(tmp_path: Path) -> FakeServer:
    made = FakeServer(tmp_path)
    made.write_durably(INSTALLED, b"the agent")
    made.write_json(f"{STATE_FOLDER}/some.json", {})
    made.programs["systemctl"] = lambda _: Completed(3, "inactive\n", "")
    return made


def left(server: FakeServer) -> list[str]:
    return [str(path) for path in server.root.rglob("*") if "pgleap" in str(path.relative_to(server.root))]


def test_a_client_is_left_without_a_trace_also_the_second_time(server: FakeServer) -> None:
    """It may have stopped half-way on another server, and is run again on all."""
    server.write_json(hosts_file.RECORD, {})
    assert len(uninstall(CLIENT, server)["changed"]) == 2
    assert left(server) == []
    assert uninstall(CLIENT, server)["changed"] == []


@pytest.mark.parametrize("dies_at", range(1, 9))
def test_one_that_died_half_way_is_run_again(server: FakeServer, monkeypatch: pytest.MonkeyPatch, dies_at: int) -> None:
    """Half of its files gone, it would be refused, or leave the other half for ever."""
    for name in ("hosts.before", "pgpass", "tasks.json", "unit/run.json"):
        server.write_durably(f"{STATE_FOLDER}/{name}", b"{}")
    server.write_json(hosts_file.RECORD, {})
    gone = 0

    def dying(name: str) -> None:
        real = getattr(os, name)

        def act(*arguments: Any, **more: Any) -> None:
            nonlocal gone
            gone += 1
            if gone == dies_at:
                raise KeyboardInterrupt
            real(*arguments, **more)

        patched.setattr(os, name, act)

    with monkeypatch.context() as patched:
        for name in ("unlink", "rmdir"):
            dying(name)
        with pytest.raises(KeyboardInterrupt):
            uninstall(CLIENT, server)
    uninstall(CLIENT, server)
    assert left(server) == []


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (hosts_file.RECORD, {"before": "127.0.0.1 localhost", "drafts": [], "reload owed": False}),
        (offline_tasks.RECORD, {"celery.service": {"was running": True}}),
    ],
)
def test_what_pgleap_still_holds_is_not_forgotten(server: FakeServer, file: str, content: dict[str, Any]) -> None:
    """Nobody could say any more how the file was, or why the task does not start."""
    server.write_json(file, content)
    before = left(server)
    with pytest.raises(Refusal, match="go back to prepare first"):
        uninstall(CLIENT, server)
    assert left(server) == before


@pytest.mark.parametrize(
    "own",
    [
        replace(PREPARED, finished=False),
        replace(PREPARED, phase=Phase.READONLY, authority=Authority.SEALED),
        replace(PREPARED, phase=Phase.CUTOVER, authority=Authority.RELEASED),
    ],
    ids=lambda own: f"{own.phase} {own.authority.value}",
)
def test_a_primary_that_is_not_in_a_finished_prepare_keeps_everything(server: FakeServer, own: Journal) -> None:
    """Its rules taken away, a sealed database would take writes beside DB_A."""
    journal.write(server, own)
    before = left(server)
    with pytest.raises(Refusal, match="prepare finished, authority: holds"):
        uninstall(PRIMARY, server)
    assert left(server) == before
