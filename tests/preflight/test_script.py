"""python -m scripts.preflight: all checks in one report, what is accepted, the exit status; and the agent that leaves no file."""

from __future__ import annotations

import ast
import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from agent.check_names import CheckName
from agent.install import compiled
from components.agent_program import INSTALLED, agent_program
from components.config_errors import SettingsError
from components.desired import Desire
from components.settings import Settings
from scripts import stack
from scripts.fleet_ssh import Answer
from scripts.preflight import __main__ as script
from scripts.preflight import ask, table
from scripts.preflight.report import Report, Status
from tests.preflight.answers import FakeFleet, told
from tests.unit.example_config import config, config_on_ec2


def refusing() -> FakeFleet:
    fleet = FakeFleet()
    fleet.say("db1", [told(["a lock on shop.public.orders"])])
    return fleet


def test_every_check_has_its_row() -> None:
    """One that silently was not made would be taken for one that found nothing."""
    rows = FakeFleet().report().rows
    assert [row.name for row in rows] == list(CheckName)
    statuses = {row.name: row.status for row in rows}
    assert statuses[CheckName.LOCKS] is Status.OK
    assert statuses[CheckName.VERSIONS] is Status.NOT_CHECKED, "no server said anything of it"


def test_what_one_server_finds_and_another_cannot_see() -> None:
    fleet = refusing()
    fleet.say("db2", [told(unseen="PostgreSQL is down")])
    row = fleet.row("locks")
    assert (row.status, row.severity, row.why, row.do) == (Status.REFUSE, "refuse", "it waits", "end it")
    assert row.outcome.found == {"db1": ["a lock on shop.public.orders"]}
    assert row.outcome.unseen == {"db2": "PostgreSQL is down"}


@pytest.mark.parametrize(("severity", "status"), [("refuse", 1), ("warn", 0), ("note", 0)])
def test_exit_status(severity: str, status: int) -> None:
    """Whoever runs it from a script goes by this alone."""
    fleet = FakeFleet()
    fleet.say("db1", [told(["something"], severity=severity)])
    fleet.say("db2", [told(severity="refuse")])
    assert fleet.row("locks").status.value == severity
    assert fleet.report().exit_status == status


def test_what_is_accepted_is_shown_with_its_reason() -> None:
    """An accepted check that goes unsaid is forgotten, and so is why."""
    fleet = refusing()
    fleet.settings = Settings.from_config(
        {**config(), "preflight": {"accept": {"locks": "the nightly job's, gone by then"}}}
    )
    assert (fleet.row("locks").status, fleet.report().exit_status) == (Status.ACCEPTED, 0)
    assert fleet.row("locks").to_json()["accepted"] == "the nightly job's, gone by then"
    fleet.say("db1")
    assert fleet.row("locks").status is Status.OK


def test_two_findings_under_one_name() -> None:
    """Of two checks that a person accepts together neither may hide the other, and the worse one counts."""
    fleet = FakeFleet()
    fleet.say(
        "db1",
        [told(["small"], severity="note", why="small"), told(["large"], why="large"), told(["tiny"], severity="note")],
    )
    row = fleet.row("locks")
    assert row.outcome.found == {"db1": ["small", "large", "tiny"]}
    assert (row.status, row.why) == (Status.REFUSE, "large")


@pytest.mark.parametrize("output", ["", "nonsense", '{"changed": []}\n', "[1]\n", '"text"\n'])
def test_an_answer_that_is_none(output: str) -> None:
    """It must be a row that says so, and take no other server's rows away."""
    fleet = FakeFleet()
    fleet.answers["web1"] = Answer(0, output, "")
    assert "cannot be understood" in fleet.report().silent["web1"]


def test_json() -> None:
    found = json.loads(json.dumps(refusing().report().to_json()))
    assert (found["phase"], found["round"], found["refuses"]) == ("prepare", 1, True)
    assert [check["name"] for check in found["checks"]] == [name.value for name in CheckName]
    (locks,) = (check for check in found["checks"] if check["name"] == "locks")
    assert locks["found"] == {"db1": ["a lock on shop.public.orders"]}
    assert found["servers"]["db1"]["seen"]["maxConnections"] == 100


def shown(report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    table.show(report)
    return capsys.readouterr().out


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Findings first, with why and what to do; what is fine in few lines; what is not known said."""
    fleet = refusing()
    fleet.say("db2", [told(["a lock on [shop]"])])
    fleet.answers["web1"] = Answer(None, "", "Connection refused")
    text = shown(fleet.report(), capsys)
    lines = text.splitlines()
    assert all(len(line) <= 100 for line in lines), max(lines, key=len)
    assert "Nothing is known of web1: not reached: Connection refused" in text
    first = next(number for number, line in enumerate(lines) if "refuse" in line and "locks" in line)
    assert "db1: a lock on shop.public.orders" in lines[first]
    assert "db2: a lock on [shop]" in text
    assert "Why: it waits" in text
    assert "Do: end it" in text
    assert text.index("Do: end it") < text.index("ok system-identifier; not checked on db-a")
    assert "pulumi config set --path 'pgleap:preflight.accept.locks' '<why>'" in text
    assert "online-capacity" in text
    assert "not checked versions, minor-versions, " in text, "sixty lines with one reason are read by nobody"
    assert len(lines) < 50


def test_the_table_counts_what_is_too_much(capsys: pytest.CaptureFixture[str]) -> None:
    fleet = FakeFleet()
    fleet.say("db1", [told([f"table {number}" for number in range(40)])])
    text = shown(fleet.report(), capsys)
    assert "table 11" in text
    assert "table 12" not in text
    assert "and 28 more" in text


def test_the_table_of_a_fleet_that_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    fleet = FakeFleet()
    fleet.settings = Settings.from_config({**config(), "preflight": {"accept": {"locks": "why"}}})
    text = shown(fleet.report(), capsys)
    assert "Nothing refuses." in text
    assert "though nothing was found: locks" in text


def run(monkeypatch: pytest.MonkeyPatch, fleet: FakeFleet | None, *arguments: str) -> Any:
    def read(name: str | None = None) -> stack.Stack:
        if fleet is None:
            raise stack.NoStackError("no stack selected")
        return stack.Stack(fleet.settings, {"phase": "prepare", "round": 1})

    monkeypatch.setattr(stack, "read", read)
    if fleet is not None:
        monkeypatch.setattr(ask, "ask", lambda settings, *, made, deadline: fleet.said)
        monkeypatch.setattr("scripts.fleet_ssh.ask_bastion", lambda settings, command, deadline: fleet.bastion)
    app = Typer()
    app.command()(script.main)
    return CliRunner().invoke(app, arguments)


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, None).exit_code == 2
    assert run(monkeypatch, FakeFleet()).exit_code == 0
    done = run(monkeypatch, refusing(), "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["refuses"] is True


def test_servers_that_are_still_to_be_made_are_not_reached_for() -> None:
    """Before the first `up` every server would find DB_A's port closed, and refuse."""
    desire = Desire(Settings.from_config(config_on_ec2()))
    web1 = desire.settings.servers["web1"]
    assert set(ask.to_look_at(desire, web1, made=False)["databases"]) == {"db1", "db2", "db3"}
    assert {"db-a", "db-c"} < set(ask.to_look_at(desire, web1, made=True)["databases"])


WEB1 = {
    "server": "web1", "address": "127.0.0.1", "side": "server", "names": {}, "databases": {}, "reload": "", "postgres": {"port": 5432},
}  # fmt: skip


def sent(program: str, desired: str = json.dumps(WEB1)) -> str:
    """What a server reads, with this in the place of the agent."""
    return f"{agent_program().sha256} {program}\n{desired}"


def bootstrap(folder: Path, text: str, installed: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """What a shell on a server does, with a `sudo` that asks nobody, and this agent installed."""
    sudo, home = folder / "bin" / "sudo", folder / "home"
    for made in (sudo.parent, home):
        made.mkdir()
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] && shift && exec "$@"\n')
    sudo.chmod(0o755)
    agent = folder / "agent.pyz"
    if installed is not None:
        agent.write_bytes(installed)
    environment = {"PATH": f"{sudo.parent}:{os.environ['PATH']}", "HOME": str(home), "TMPDIR": str(home)}
    assert INSTALLED in ask.COMMAND
    command = ["/bin/sh", "-c", ask.COMMAND.replace(INSTALLED, str(agent))]
    return subprocess.run(command, input=text, text=True, capture_output=True, env=environment, cwd=home, check=False)


def is_whole(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether all checks of a server of the application were made."""
    said = ask.read(Answer(done.returncode, done.stdout, done.stderr))
    assert said.why == "", done.stderr
    assert said.clock is not None
    assert 0 < said.took < 60
    return {"hosts-file", "ports"} <= {check["name"] for check in said.checks}


@pytest.fixture(scope="module")
def program() -> str:
    """The agent as it travels."""
    return base64.b64encode(agent_program().file.read_bytes()).decode()


def test_the_agent_is_loaded_from_memory_and_leaves_no_file(tmp_path: Path, program: str) -> None:
    """Before `prepare` nothing of pgleap's is on any server, and preflight must not be what puts it there."""
    assert is_whole(bootstrap(tmp_path, sent(program)))
    assert list((tmp_path / "home").rglob("*")) == []


def test_the_very_same_agent_that_is_installed_is_loaded(tmp_path: Path) -> None:
    """Not taken, each server compiles what it has compiled already, and nobody sees why preflight is slow."""
    assert is_whole(bootstrap(tmp_path, sent("none"), compiled(agent_program().file.read_bytes())))


@pytest.mark.parametrize("installed", [b"", b"no agent", compiled(b"PK\5\6" + bytes(18))])
def test_another_agent_that_is_installed_is_not(tmp_path: Path, program: str, installed: bytes) -> None:
    """Of another release it would make other checks than are told of."""
    assert is_whole(bootstrap(tmp_path, sent(program), installed))


def test_what_the_agent_refuses_is_an_answer(tmp_path: Path, program: str) -> None:
    done = bootstrap(tmp_path, sent(program, "no json"))
    assert done.returncode == 1
    assert "JSONDecodeError" in ask.read(Answer(1, done.stdout, done.stderr)).why


def test_an_old_python_says_so() -> None:
    """A syntax error in the agent would be told as one, on a server that needs a newer Python."""
    ast.parse(ask.BOOTSTRAP, feature_version=(3, 4))
    pretend = "import sys; sys.version_info = (3, 6, 8); sys.version = '3.6.8 (default)'; exec(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", pretend, ask.BOOTSTRAP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (ask.OLD_PYTHON, "Python 3.6.8")


def test_only_names_of_checks_are_accepted() -> None:
    with pytest.raises(SettingsError):
        Settings.from_config({**config(), "preflight": {"accept": {"lock": "why"}}})
