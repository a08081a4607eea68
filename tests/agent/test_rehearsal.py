"""The rehearsal's program: what it cannot be asked for, what it keeps apart, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import (
    client_rules,
    configuration,
    journal,
    rehearsal,
    rehearsal_begin,
    rehearsal_end,
    rehearsal_guard,
    rehearsal_target,
    seal,
)
from agent.__main__ import REHEARSAL, WINDOW, act, main
from agent.announce import announce
from agent.cluster import from_desired
from agent.configuration import Carried
from agent.journal import JOURNAL_FILE, Authority, Journal
from agent.postgres import Postgres
from agent.rehearsal_begin import decide
from agent.report import Refusal
from agent.server import STATE_FOLDER, Completed
from agent.states import REHEARSAL_VERBS, Phase, Verb
from agent.target import OF_A_REHEARSAL
from components.agent_program import INSTALLED, INSTALLED_FOR_REHEARSAL, agent_program
from tests.agent.fake_server import FakeServer
from tests.model.rules import first_match

OTHERS = [verb for verb in Verb if verb not in REHEARSAL_VERBS]
BEGIN = {"server": "db-a", "address": "10.0.0.14", "phase": "prepare", "round": 1, "side": "DB_A"}


@pytest.fixture
def server(tmp_path: Path) -> FakeServer:
    return FakeServer(tmp_path)


def files(server: FakeServer) -> dict[str, bytes]:
    return {str(file.relative_to(server.root)): file.read_bytes() for file in server.root.rglob("*") if file.is_file()}


@pytest.mark.parametrize("verb", OTHERS, ids=lambda verb: verb.value)
def test_it_cannot_be_asked_for_what_a_window_does(verb: Verb, server: FakeServer) -> None:
    """Good behaviour of the stack's program alone would stand between a rehearsal and a sealed primary."""
    with pytest.raises(Refusal, match="cannot be asked for"):
        act(verb, BEGIN, server, REHEARSAL)
    assert files(server) == {}
    assert server.ran == []


@pytest.mark.parametrize("verb", REHEARSAL_VERBS, ids=lambda verb: verb.value)
def test_a_window_s_program_does_not_rehearse(verb: Verb, server: FakeServer) -> None:
    """It would, on the window's own journal and DB_A."""
    with pytest.raises(Refusal, match="cannot be asked for"):
        act(verb, BEGIN, server, WINDOW)
    assert files(server) == {}


@pytest.mark.parametrize("asked", [["client-gate"], ["run", "upgrade-target"], ["hosts-file"], ["copies"]])
def test_the_packed_program_itself_refuses(asked: list[str], tmp_path: Path) -> None:
    """The verbs are another program's: not a flag that somebody passes."""
    packed = agent_program(rehearsal=True).file
    done = subprocess.run(
        [sys.executable, "-I", packed, *asked], input="{}", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "which this program cannot be asked for" in done.stderr


def test_the_two_programs_have_no_place_in_common() -> None:
    """The agent's constants and the stack's are written twice: imports run one way."""
    assert (WINDOW.installed, REHEARSAL.installed) == (INSTALLED, INSTALLED_FOR_REHEARSAL)
    assert not REHEARSAL.folder.startswith(f"{WINDOW.folder}/")
    assert set(WINDOW.verbs).isdisjoint(REHEARSAL.verbs)
    assert {*WINDOW.verbs, *REHEARSAL.verbs} == {*Verb}


def test_what_it_keeps_is_not_the_window_s(server: FakeServer) -> None:
    """A rehearsal's `upgrade` in the window's journal: the window would open DB_A, or refuse to go on."""
    of_window = Journal(Phase.CUTOVER, 7, True, Authority.HOLDS, 3)
    journal.write(server, of_window)
    before = files(server)
    kept = server.keeping_in(rehearsal.FOLDER)
    assert journal.read(kept) is None
    journal.write(kept, Journal(Phase.PREPARE, 1, False, Authority.NONE, 0))
    assert kept.place(f"{STATE_FOLDER}/pgpass") == f"{rehearsal.FOLDER}/pgpass"
    # A folder that only begins alike is another one, and so is what is not pgleap's.
    assert kept.place("/var/lib/pgleap-other/x") == "/var/lib/pgleap-other/x"
    assert kept.place(kept.place(JOURNAL_FILE)) == kept.place(JOURNAL_FILE)
    assert journal.read(server) == of_window
    assert {name: content for name, content in files(server).items() if name in before} == before
    assert journal.read(rehearsal.window(kept)) == of_window


def test_a_target_that_a_window_uses_is_refused(server: FakeServer) -> None:
    """The rehearsal would take the window's standby away for its own."""
    journal.write(server, Journal(Phase.PREPARE, 4, True, Authority.NONE, 0))
    before = files(server)
    for verb in (rehearsal_begin.rehearsal_begin, rehearsal_target.rehearsal_target):
        with pytest.raises(Refusal, match=r"no window uses.*prepare in round 4"):
            verb(BEGIN, server.keeping_in(rehearsal.FOLDER))
    assert files(server) == before


def test_a_window_is_refused_where_a_rehearsal_stands(server: FakeServer) -> None:
    """The window's base backup over the rehearsal's copy; or writes refused while a rehearsal reads the primary's disk."""
    journal.write(server.keeping_in(rehearsal.FOLDER), Journal(Phase.UPGRADE, 2, True, Authority.NONE, 0))
    with pytest.raises(Refusal, match=r"no rehearsal on DB_A.*pulumi destroy"):
        announce(BEGIN, server)
    # The primary of a window: beside its prepare a rehearsal may stand.
    primary = {**BEGIN, "server": "db1", "side": "old primary"}
    assert announce(primary, server)["changed"]
    journal.update(server, finished=True)
    with pytest.raises(Refusal, match="no rehearsal on the old primary"):
        announce({**primary, "phase": "readonly"}, server)
    assert journal.must_read(server).phase is Phase.PREPARE


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.PREPARE])
def test_a_primary_with_a_window_under_way_is_refused(phase: Phase, server: FakeServer) -> None:
    """A base backup while writes are refused, or from a primary that has handed its authority on."""
    journal.write(server, Journal(phase, 4, True, Authority.HOLDS, 1))
    asked = {**BEGIN, "side": "old primary", "postgres": POSTGRES, "walBytes": 1}
    with pytest.raises(Refusal, match="no window is at work on"):
        act(Verb.REHEARSAL_BEGIN, asked, server, REHEARSAL)
    assert server.ran == []


POSTGRES = {"version": 15, "layout": "debian", "cluster": "main", "port": 5432, "superuser": "postgres"}
QUIET = {
    "SELECT 1;": "1",
    "pg_is_in_recovery()": "f",
    "synchronous_standby_names": "db2",
    "shared_preload_libraries": "pg_stat_statements",
    "free_senders": "7",
    "pg_replication_slots": "[]",
}


class Primary(FakeServer):
    """Its psql answers by what stands in the statement."""

    def __init__(self, root: Path, **other: str) -> None:
        super().__init__(root)
        self.answers = {**QUIET, **other}
        self.programs["systemctl"] = lambda argv: Completed(0, "inactive\n", "")
        self.programs["systemd-run"] = lambda argv: Completed(0, "", "")
        config, data = self.path("/etc/postgresql/15/main"), self.path("/var/lib/postgresql/15/main")
        for folder in (config, data):
            folder.mkdir(parents=True)
        (config / "pg_hba.conf").write_text("local all all peer\n")

    def run(self, *argv: str, stdin: str | None = None, **rest: Any) -> Completed:
        if argv[0].endswith("/psql"):
            (answer,) = [answer for fragment, answer in self.answers.items() if fragment in str(stdin)]
            return Completed(0, answer, "")
        return super().run(*argv, **rest)


def begin_on(primary: Primary, wal_bytes: int = 1) -> None:
    asked = {**BEGIN, "server": "db1", "side": "old primary", "postgres": POSTGRES, "walBytes": wal_bytes}
    rehearsal_begin.rehearsal_begin(asked, primary.keeping_in(rehearsal.FOLDER))


def test_a_quiet_primary_is_rehearsed_on_with_its_slot_guarded(tmp_path: Path) -> None:
    """A slot that nobody watches fills the disk of the primary when DB_A is switched off and forgotten."""
    primary = Primary(tmp_path)
    begin_on(primary)
    (began,) = [argv for argv in primary.ran if argv[0] == "systemd-run"]
    assert began[-2:] == (INSTALLED_FOR_REHEARSAL, "guard")
    assert [name for name in files(primary) if name.startswith("var/lib/pgleap/")] == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"pg_is_in_recovery()": "t"}, "it is a standby"),
        ({"synchronous_standby_names": "ANY 1 (*)"}, "commits could wait for the copy"),
        ({"shared_preload_libraries": "pg_stat_statements, pg_cron"}, "the copy would run its jobs too"),
        ({"free_senders": "2"}, "2 of its max_wal_senders are free"),
    ],
)
def test_a_primary_that_would_notice_is_refused(answer: dict[str, str], said: str, tmp_path: Path) -> None:
    """Mails sent twice by the copy's pg_cron; commits that wait for a standby which is about to be promoted."""
    primary = Primary(tmp_path, **answer)
    with pytest.raises(Refusal) as refused:
        begin_on(primary)
    assert said in refused.value.found
    assert [name for name in files(primary) if "pgleap" in name] == []


def test_what_it_may_hold_back_has_to_be_there(tmp_path: Path) -> None:
    """A bound above the room that there is bounds nothing."""
    primary = Primary(tmp_path)
    with pytest.raises(Refusal) as refused:
        begin_on(primary, wal_bytes=10**18)
    assert "limits.rehearsalWalBytes" in refused.value.found


def test_a_sealed_primary_is_refused(tmp_path: Path) -> None:
    """A window that died after it had sealed."""
    primary = Primary(tmp_path)
    hba = primary.path("/etc/postgresql/15/main/pg_hba.conf")
    hba.write_text(client_rules.with_rules(hba.read_text(), ["10.0.0.14"], sealed=True))
    with pytest.raises(Refusal) as refused:
        begin_on(primary)
    assert "it is sealed" in refused.value.found


def test_its_moves() -> None:
    """A copy that was upgraded, and is asked to be what it is not."""
    new = decide(None, Phase.PREPARE, 1, is_primary=False)
    assert (new.phase, new.finished, new.authority) == (Phase.PREPARE, False, Authority.NONE)
    assert decide(new, Phase.PREPARE, 1, is_primary=False) == new
    with pytest.raises(Refusal, match="to be finished before upgrade"):
        decide(new, Phase.UPGRADE, 1, is_primary=False)
    done = Journal(Phase.PREPARE, 1, True, Authority.NONE, 0)
    upgraded = decide(done, Phase.UPGRADE, 1, is_primary=False)
    assert (upgraded.phase, upgraded.finished) == (Phase.UPGRADE, False)
    with pytest.raises(Refusal, match="higher round than 1"):
        decide(upgraded, Phase.PREPARE, 1, is_primary=False)
    assert decide(upgraded, Phase.PREPARE, 2, is_primary=False).phase is Phase.PREPARE
    with pytest.raises(Refusal, match="which this server has seen"):
        decide(decide(upgraded, Phase.PREPARE, 2, is_primary=False), Phase.PREPARE, 1, is_primary=False)
    with pytest.raises(Refusal, match="has finished prepare"):
        decide(None, Phase.UPGRADE, 1, is_primary=False)


def test_its_lines_in_pg_hba_stand_beside_a_window_s_and_go_alone() -> None:
    """A seal that is no longer found, or lines that stay for ever."""
    fleet = "# the fleet's\nhost all all 10.0.0.0/8 trust\nlocal all all peer\n"
    alone = client_rules.with_rehearsal(fleet, "10.0.0.14")
    assert client_rules.with_rehearsal(alone, "10.0.0.14") == alone
    assert client_rules.without_rehearsal(alone) == fleet
    for sealed in (False, True):
        of_window = client_rules.with_rules(alone, ["10.0.0.24"], sealed=sealed)
        assert client_rules.is_sealed(of_window) is sealed
        assert client_rules.with_rehearsal(of_window, "10.0.0.14") == of_window
        assert client_rules.without_rules(client_rules.without_rehearsal(of_window)) == fleet
        assert client_rules.without_rules(of_window) == alone


def test_its_role_comes_from_db_a_alone() -> None:
    """The fleet's own rules trust a whole network: a password that leaks would be all data."""
    text = client_rules.with_rehearsal("host replication,all all 10.0.0.0/8 trust\nlocal all all trust\n", "10.0.0.14")

    def method(database: str, address: str | None) -> str:
        rule = first_match(text, database, client_rules.REHEARSAL, address)
        assert rule is not None
        return rule.method

    assert method("replication", "10.0.0.14") == method("postgres", "10.0.0.14") == "scram-sha-256"
    assert {method("app", "10.0.0.14"), method("replication", "10.0.0.9"), method("app", None)} == {"reject"}


def test_the_end_takes_nothing_that_was_not_made(server: FakeServer) -> None:
    """A rehearsal that was refused, over a server with a cluster of somebody's: destroy must leave it."""
    server.programs["systemctl"] = lambda argv: Completed(0, "", "")
    cluster = server.path("/var/lib/postgresql/15/main/PG_VERSION")
    cluster.parent.mkdir(parents=True)
    cluster.write_text("15\n")
    for side in ({"side": "DB_A"}, {}):
        rehearsal_end.rehearsal_end({**BEGIN, "side": side.get("side")}, server.keeping_in(rehearsal.FOLDER))
    primary = {**BEGIN, "side": "old primary", "postgres": POSTGRES}
    assert rehearsal_end.rehearsal_end(primary, server.keeping_in(rehearsal.FOLDER))["changed"] == []
    assert cluster.read_text() == "15\n"


def test_what_it_is_asked_is_no_json_of_anybody_s(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal on stdout would be taken for facts."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("{}"))
    assert main(["client-gate"], REHEARSAL) == 1
    assert capsys.readouterr().out == ""


def test_jobs_that_a_copy_would_run_are_those_that_a_seal_refuses(tmp_path: Path) -> None:
    """Two lists of the same, of which one grows."""
    primary = Primary(tmp_path, shared_preload_libraries="timescaledb")
    assert seal.background_jobs(Postgres(primary, from_desired(POSTGRES), "")) == [
        "timescaledb in shared_preload_libraries"
    ]


class Slotted(Primary):
    """With the rehearsal's slot, which holds `held` bytes back; somebody streams from it until he was ended."""

    def __init__(self, root: Path, held: int) -> None:
        super().__init__(root)
        self.held, self.active, self.slot = held, True, True

    def run(self, *argv: str, stdin: str | None = None, **rest: Any) -> Completed:
        sql = str(stdin)
        if not argv[0].endswith("/psql") or "pg_replication_slots" not in sql:
            return super().run(*argv, stdin=stdin, **rest)
        row = {"held": self.held, "slot_name": "pgleap_rehearsal"}
        if "pg_terminate_backend" in sql:
            self.active = False
        elif "pg_drop_replication_slot" in sql:
            dropped, self.slot = self.slot and not self.active, self.slot and self.active
            return Completed(0, json.dumps([row] if dropped else []), "")
        return Completed(0, json.dumps([row] if self.slot else []), "")


class EnoughError(Exception):
    """The guard has looked often enough for a test."""


@pytest.mark.parametrize(("held", "stays"), [(1024, True), (1025, False)])
def test_the_guard_ends_a_slot_that_holds_too_much(held: int, stays: bool, tmp_path: Path) -> None:
    """DB_A is switched off over the weekend, and production stops when its disk is full."""
    primary = Slotted(tmp_path, held)
    begin_on(primary, wal_bytes=1024)
    seen = primary.keeping_in(rehearsal.FOLDER)
    assert isinstance(seen, Slotted)

    def sleep(seconds: float) -> None:
        if seconds == rehearsal_guard.EVERY_SECONDS:
            raise EnoughError

    seen.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(EnoughError):
        rehearsal_guard.guard(seen)
    assert (seen.slot, seen.active) == (stays, stays)


def test_the_guard_outlives_a_restart_of_postgresql(tmp_path: Path) -> None:
    """One look that failed, and nobody looks any more."""
    primary = Primary(tmp_path)
    begin_on(primary)
    seen = primary.keeping_in(rehearsal.FOLDER)
    looked = 0

    def refused(*_: str, **__: Any) -> Completed:
        raise Refusal("PostgreSQL", "connection refused", "start it")

    def sleep(seconds: float) -> None:
        nonlocal looked
        looked += 1
        if looked == 3:
            raise EnoughError

    seen.run, seen.sleep = refused, sleep  # type: ignore[method-assign]
    with pytest.raises(EnoughError):
        rehearsal_guard.guard(seen)
    assert looked == 3


def test_another_bound_is_heeded(tmp_path: Path) -> None:
    """The guard of the first `up` goes on with its own."""
    primary = Primary(tmp_path)
    primary.programs["systemctl"] = lambda argv: Completed(0, "active\n", "")
    for bound in (5, 5, 6):
        begin_on(primary, wal_bytes=bound)
    assert len([argv for argv in primary.ran if argv[0] == "systemd-run"]) == 2


def test_alter_system_does_not_win_over_what_a_copy_must_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """postgresql.auto.conf is read last: a copy that follows the primary's publisher takes its changes away from it."""
    server, cluster = Primary(tmp_path), from_desired(POSTGRES)
    monkeypatch.setattr(FakeServer, "owner", lambda *_: (os.getuid(), os.getgid()))
    server.path(cluster.config_file).write_text("")
    carried = Carried({"work_mem": "8MB"}, {"max_logical_replication_workers": "4", "jit": "off"}, "", "")
    configuration.write(server, cluster, carried, OF_A_REHEARSAL, auto={})
    auto = configuration.parsed(server.path(cluster.auto_config_file).read_text())
    own = configuration.parsed(server.path(cluster.own_config_file).read_text())
    assert auto == {"jit": "off"}
    assert own["max_logical_replication_workers"] == "0"
    assert (own["archive_mode"], own["work_mem"]) == ("off", "8MB")
