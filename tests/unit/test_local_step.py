"""The operator's own steps as processes, as a step of the program starts them: stdin, stdout, stderr, exit status."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.load_balancer import by_command
from scripts.local_step import Wait
from scripts.report import Refusal
from tests.unit.operator_steps import FakeTime

PROJECT = Path(__file__).resolve().parents[2]


def command(*argv: str, **more: Any) -> dict[str, Any]:
    """The desired state of web3 behind a load balancer with commands."""
    wanted = {"membership": "out", "drainSeconds": 20, "healthySeconds": 20, "command": list(argv)}
    return {"server": "web3", "address": "10.77.0.23", "round": 1, **wanted, **more}


def of_many(*each: dict[str, Any]) -> dict[str, Any]:
    """The step's desired state, of those of its servers."""
    own = ("server", "address", "command")
    shared = {key: value for key, value in each[0].items() if key not in own}
    servers = {one["server"]: {key: one[key] for key in own if key != "server"} for one in each}
    return {**shared, "servers": servers}


def ran(desired: dict[str, Any], module: str = "scripts.load_balancer") -> subprocess.CompletedProcess[str]:
    given = json.dumps(desired)
    argv = [sys.executable, "-m", module]
    return subprocess.run(argv, cwd=PROJECT, input=given, capture_output=True, text=True, timeout=60, check=False)


def test_facts_are_one_line_and_all_else_is_progress() -> None:
    """The facts are read as JSON from stdout: a line of the command's own there makes every later `up` fail."""
    done = ran(of_many(command("/bin/sh", "-c", "echo drained; echo and a warning >&2")))
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["membership"], facts["changed"]) == ("out", ["web3"])
    assert facts["took"] >= 0
    assert {"web3: drained", "web3: and a warning"} <= set(done.stderr.splitlines())


def test_a_refusal_says_what_to_do_and_has_no_facts() -> None:
    """A traceback, or a status of 0, hides that the server is still in."""
    done = ran(of_many(command("/bin/sh", "-c", "echo no such backend; exit 3")))
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("pgleap: refused. Expected: ")
    assert "exit status 3; it said: no such backend" in last
    assert "pgleap:loadBalancer.commands.out" in last
    assert "Traceback" not in done.stderr


def test_servers_leave_side_by_side_and_one_that_cannot_holds_up_no_other(tmp_path: Path) -> None:
    """Each drains for minutes: one after the other would take hours, and one that fails would keep the rest where they get requests."""
    here, there = tmp_path / "web3", tmp_path / "web4"
    meets = "touch {}; until test -e {}; do sleep 0.05; done; echo both are here"
    met = [
        {**command("/bin/sh", "-c", meets.format(mine, other)), "server": mine.name, "address": "10.77.0.24"}
        for mine, other in ((here, there), (there, here))
    ]
    done = ran(of_many(*met, {**command("/bin/false"), "server": "web5", "address": "10.77.0.25"}))
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.splitlines()
    assert {"web3: both are here", "web4: both are here"} <= set(said)
    last = said[-1]
    assert (
        "Expected: the load balancer to have let go, for all of 3 servers. Found: 2 are done, 1 are not: web5: refused."
        in last
    )


def test_a_failure_is_seen_though_whoever_started_the_step_ignores_its_children() -> None:
    """That is inherited, and Python takes a child whose end it cannot learn for one that succeeded."""
    given = json.dumps(of_many(command("/bin/false")))
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    argv = [sys.executable, "-c", ignoring, sys.executable, "-m", "scripts.load_balancer"]
    done = subprocess.run(argv, cwd=PROJECT, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "exit status 1; it said: nothing" in done.stderr


def test_aws_without_credentials_is_a_refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The most likely failure of all, on the night: whoever runs `up` is not logged in."""
    for key in [key for key in os.environ if key.startswith("AWS_")]:
        monkeypatch.delenv(key)
    for key, value in {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(key, value)
    desired = {"instanceId": "i-0123456789abcdef0", "terminate": True, "region": "eu-central-1"}
    done = ran({"server": "db1", "address": "10.77.0.11", "round": 1, **desired}, "scripts.retire_instances")
    assert done.returncode == 1
    assert "Unable to locate credentials" in done.stderr
    assert "aws sts get-caller-identity" in done.stderr
    assert "Traceback" not in done.stderr


def test_words_of_a_command_reach_it_whole(tmp_path: Path) -> None:
    """A shell between would cut a word at its blanks, and run what stands behind a semicolon."""
    said = tmp_path / "said"
    word = f"a b; touch {tmp_path}/harm $(id)"
    by_command(command(sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])", str(said), word))
    assert said.read_text() == word
    assert not (tmp_path / "harm").exists()


def test_a_command_that_is_not_there_is_told() -> None:
    """A FileNotFoundError names no config key."""
    with pytest.raises(Refusal, match=r"cannot be run.*no-such-program.*loadBalancer\.commands\.in"):
        by_command(command("/no-such-program", membership="in"))


def test_a_command_has_a_deadline_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """One that asks for a password waits for ever, and its children would change the load balancer after all."""
    late = tmp_path / "late"
    script = f"(sleep 2; touch {shlex.quote(str(late))}) & wait"
    with pytest.raises(Refusal, match=r"within 0\.2 s.*still running after 0\.2 s, and was ended"):
        by_command(command("/bin/sh", "-c", script, drainSeconds=0.2))
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            ["/bin/sh", "-c", f"until test -e {shlex.quote(str(late))}; do sleep 0.1; done"], timeout=3, check=True
        )


def test_what_a_command_leaves_running_holds_nothing_up() -> None:
    """A reload that forks a daemon keeps the pipe open; the step would end with the daemon."""
    facts = by_command(command("/bin/sh", "-c", "echo reloaded; sleep 30 &", drainSeconds=20))
    assert facts["changed"]


def test_the_other_membership_has_the_other_deadline() -> None:
    """Draining is often long and a check short: the wrong one of the two cuts it off, or waits for nothing."""
    with pytest.raises(Refusal, match=r"within 0\.1 s"):
        by_command(command("/bin/sh", "-c", "sleep 5", membership="in", healthySeconds=0.1))


def test_a_wait_ends_with_the_up_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a ^C or a killed engine it would go on, and terminate an instance an hour later that nobody watches any more."""

    class Gone:
        def write(self, _: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    time = FakeTime()
    with pytest.raises(BrokenPipeError):
        Wait(600, time.time).until_nothing_is(lambda: "pending", lambda _: Refusal("", "", ""))
    assert time.now == 0


def test_a_wait_is_told_when_it_changes_and_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Silence looks like a hang, and a line for every look is noise."""
    time = FakeTime()
    words = iter(["a", "a", "b", *["b"] * 12, ""])
    spent = Wait(600, time.time).until_nothing_is(lambda: next(words), lambda _: Refusal("", "", ""))
    assert spent == 75
    assert capsys.readouterr().err.splitlines() == [
        "a (0 of 600 s)", "b (10 of 600 s)", "b (40 of 600 s)", "b (70 of 600 s)",
    ]  # fmt: skip
