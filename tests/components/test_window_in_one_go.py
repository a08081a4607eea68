"""scripts/window as an operator runs it, under the real engine, over a simulated fleet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from agent.journal import Authority, must_read
from tests.components.simulation import Fault, Hold
from tests.components.stack import PROJECT, Stack

pytestmark = pytest.mark.engine

StackAt = Callable[..., Stack]
# Seconds; far more than any window here takes.
PATIENCE = 120.0


class Script:
    """A window under way, in a process group of its own, as a terminal has it."""

    def __init__(self, stack: Stack, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scripts.window", *options],
            cwd=stack.pulumi.project,
            env={**stack.pulumi.variables(), "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    @property
    def said(self) -> str:
        return "".join(self._lines)

    def interrupt(self) -> None:
        """^C at a terminal: everybody in the foreground process group gets it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_until_said(self, sentence: str) -> None:
        until = time.monotonic() + PATIENCE
        while sentence not in self.said:
            assert time.monotonic() < until, self.said
            assert self.process.poll() is None or sentence in self.said, self.said
            time.sleep(0.02)

    def end(self) -> int:
        status = self.process.wait(PATIENCE)
        self._reader.join()
        return status


def window(stack: Stack, *options: str) -> tuple[int, str]:
    """The exit status of a whole window, and what it said."""
    script = Script(stack, *options)
    return script.end(), script.said


def asked(stack: Stack) -> tuple[str, int]:
    """Phase and round in the stack's config file."""
    found = yaml.safe_load((stack.pulumi.project / "Pulumi.sim.yaml").read_text())["config"]
    return found["pgleap:phase"], int(found["pgleap:round"])


def stands_in_prepare(stack: Stack) -> bool:
    """Whether writes are where they were, for every server."""
    before = stack.fleet.settings.names_before
    hosts = [stack.fleet.named(server.name).names for server in stack.fleet.settings.hosts_servers]
    return stack.fleet.primary.open and not stack.fleet.target.open and all(names == before for names in hosts)


def test_forward(stack_at: StackAt) -> None:
    """The whole window, with its account, and a second one refused."""
    stack = stack_at("prepare")
    status, said = window(stack)
    assert status == 0, said
    assert stack.fleet.target.open
    assert asked(stack) == ("cutover", 1)
    assert stack.pulumi.outputs()["finished"] == {"phase": "cutover", "round": 1}
    assert "Writes were refused for" in said
    assert "The fleet stands in cutover: db-a takes the writes." in said
    assert "correct horse" not in said
    steps = stack.fleet.steps()
    assert window(stack)[0] == 2
    assert stack.fleet.steps() == steps


def engines(script: Script) -> list[int]:
    """Every `up` that this window has begun and that goes on."""
    found = []
    for children in Path(f"/proc/{script.process.pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                found += [int(pid)] if "up" in words else []
    return found


def wait_until(what: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_engine_that_follows_waits_beside_the_one_at_work(stack_at: StackAt) -> None:
    """Begun only when the fence stands, it costs most of a second of refused writes; one that does not wait asks for cutover too early."""
    stack = stack_at("prepare")
    hold = stack.fleet.holds["db1", "client-gate"] = Hold()
    script = Script(stack)
    assert hold.reached.wait(PATIENCE), script.said
    wait_until(lambda: len(engines(script)) == 2)
    assert asked(stack) == ("readonly", 1)
    at_work, waiting = engines(script)
    hold.go_on.set()
    hold = stack.fleet.holds["db-a", "upgrade-target"] = Hold()
    assert hold.reached.wait(PATIENCE), script.said
    assert engines(script) == [waiting]
    assert at_work != waiting
    assert asked(stack) == ("cutover", 1)
    hold.go_on.set()
    assert script.end() == 0, script.said
    assert stack.fleet.target.open
    assert stack.unchanged().exit == 0


def test_a_config_that_somebody_wrote_meanwhile_is_not_lost(stack_at: StackAt) -> None:
    """The engine that waits has a copy of it, from before."""
    stack = stack_at("prepare")
    hold = stack.fleet.holds["db1", "client-gate"] = Hold()
    script = Script(stack)
    assert hold.reached.wait(PATIENCE), script.said
    wait_until(lambda: len(engines(script)) == 2)
    stack.pulumi.configure({"pgleap:outageBudget": 299})
    hold.go_on.set()
    assert script.end() == 0, script.said
    assert asked(stack) == ("cutover", 1)
    found = yaml.safe_load((stack.pulumi.project / "Pulumi.sim.yaml").read_text())["config"]
    assert int(found["pgleap:outageBudget"]) == 299


def test_a_window_that_is_killed_leaves_no_engine_that_goes_on_to_cutover(stack_at: StackAt) -> None:
    """Nobody would be there to go back from it."""
    stack = stack_at("prepare")
    hold = stack.fleet.holds["db1", "client-gate"] = Hold()
    script = Script(stack)
    assert hold.reached.wait(PATIENCE), script.said
    wait_until(lambda: len(engines(script)) == 2)
    left = engines(script)
    script.process.kill()
    hold.go_on.set()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
    script.end()
    assert must_read(stack.fleet.primary.machine).authority is Authority.SEALED
    assert not stack.fleet.target.open
    assert asked(stack) == ("readonly", 1)
    # The engine at work lost whom it told, and died with its lock; the one that waited never had any.
    stack.pulumi.run("cancel", "--yes").checked()
    status, said = window(stack)
    assert status == 0, said
    assert stack.fleet.target.open


@pytest.mark.parametrize(
    ("at", "step", "fault"),
    [
        ("prepare", ("db1", "client-gate"), Fault.DROPPED),
        ("readonly", ("db-a", "upgrade-target"), Fault.BEFORE),
        ("readonly", ("db-a", "client-gate"), Fault.BEFORE),
        # Released, and nobody knows.
        ("upgrade", ("db1", "client-gate"), Fault.AFTER),
        ("upgrade", ("db-a", "client-gate"), Fault.BEFORE),
        # Opened, and nobody knows: what it took for a moment comes along.
        ("upgrade", ("db-a", "client-gate"), Fault.AFTER),
    ],
)
def test_a_failure_before_db_a_said_that_it_is_open_goes_back(
    stack_at: StackAt, at: str, step: tuple[str, str], fault: Fault
) -> None:
    """Writes that stay refused until somebody wakes up."""
    stack = stack_at(at)
    stack.fleet.faults[step] = fault
    status, said = window(stack)
    assert stack.fleet.faults == {}, "the fault never came about"
    assert status == 1, said
    assert stands_in_prepare(stack), said
    assert asked(stack)[0] == "prepare"
    assert must_read(stack.fleet.primary.machine).authority is Authority.HOLDS
    assert "going back to prepare" in said


def test_a_failure_after_db_a_opened_stays(stack_at: StackAt) -> None:
    """Whether to go back from a DB_A that takes writes is a person's to say."""
    stack = stack_at("upgrade")
    stack.fleet.faults["web2", "hosts-file"] = Fault.BEFORE
    status, said = window(stack)
    assert status == 3, said
    assert stack.fleet.target.open
    assert not stack.fleet.primary.open
    phase, round_ = asked(stack)
    assert phase == "cutover"
    assert f"pulumi config set phase cutover && pulumi config set round {round_} && pulumi up" in said


@pytest.mark.parametrize(
    ("at", "step"),
    [
        ("prepare", ("db1", "client-gate")),
        ("readonly", ("db-a", "upgrade-target")),
        ("readonly", ("db1", "client-gate")),
        ("upgrade", ("db1", "client-gate")),
    ],
)
def test_an_interrupt_goes_back(stack_at: StackAt, at: str, step: tuple[str, str]) -> None:
    """An engine that gets the same ^C dies with its lock, and the way back stands before it."""
    stack = stack_at(at, checkpoints=True)
    hold = stack.fleet.holds[step] = Hold()
    script = Script(stack)
    assert hold.reached.wait(PATIENCE), script.said
    script.interrupt()
    script.wait_until_said("Interrupted: ending the engine.")
    script.interrupt()
    script.wait_until_said("The way back is under way")
    hold.go_on.set()
    assert script.end() == 1, script.said
    assert stands_in_prepare(stack), script.said
    assert stack.unchanged().exit == 0


def test_an_interrupt_after_db_a_opened_finishes_cutover(stack_at: StackAt) -> None:
    """Ended there, servers would go on without writes for nothing: there is no way back."""
    stack = stack_at("upgrade")
    hold = stack.fleet.holds["web1", "hosts-file"] = Hold()
    script = Script(stack)
    assert hold.reached.wait(PATIENCE), script.said
    script.interrupt()
    script.wait_until_said("DB_A has opened")
    hold.go_on.set()
    assert script.end() == 0, script.said
    assert asked(stack) == ("cutover", 1)


def test_a_mute_db_a_is_left_behind(stack_at: StackAt) -> None:
    """A server that accepts and says nothing would hold the window open for as long as its engine lives."""
    stack = stack_at("readonly", checkpoints=True)
    hold = stack.fleet.holds["db-a", "announce"] = Hold()
    script = Script(stack, "--deadline", "3")
    try:
        script.wait_until_said("db-a-announce has been under way for 3 s, its deadline: ending the engine.")
        status = script.end()
    finally:
        hold.go_on.set()
    assert status == 3, script.said
    assert stands_in_prepare(stack), script.said
    assert "db1 takes writes again, but the way back to prepare is not finished" in script.said
    assert "python -m scripts.window --back" in script.said


def test_a_mute_web_server_does_not_keep_the_others_waiting(stack_at: StackAt) -> None:
    """Its names lead to a database that only reads; the others' must not."""
    stack = stack_at("prepare", checkpoints=True)
    hold = stack.fleet.holds["web1", "hosts-file"] = Hold()
    script = Script(stack, "--deadline", "3")
    try:
        status = script.end()
    finally:
        hold.go_on.set()
    assert status == 3, script.said
    assert stack.fleet.primary.open
    assert stack.fleet.named("web2").names == stack.fleet.settings.names_before


def test_dry_run_changes_nothing(stack_at: StackAt) -> None:
    """A look that writes a phase into the config is followed by somebody's `up`."""
    stack = stack_at("prepare")
    file = stack.pulumi.project / "Pulumi.sim.yaml"
    before = file.read_bytes()
    status, said = window(stack, "--dry-run")
    assert status == 0, said
    assert file.read_bytes() == before
    assert stack.fleet.events == []
    assert stack.unchanged().exit == 0
    for told in (
        "readonly, round 1: pulumi preview --diff",
        "10.77.0.12",
        "cutover, round 1: the plan",
        "db-a: replays the fence, is promoted",
        "every database name leads to db-a",
    ):
        assert told in said


@pytest.mark.parametrize("at", ["readonly", "upgrade"])
def test_back(stack_at: StackAt, at: str) -> None:
    """The way back by hand needs a round that nobody remembers at night."""
    stack = stack_at(at)
    status, said = window(stack, "--back")
    assert status == 0, said
    assert stands_in_prepare(stack)
    assert asked(stack) == ("prepare", 2)
    assert "after this command began" in said
    assert stack.unchanged().exit == 0


def test_what_the_program_refuses_leaves_everything_as_it_was(stack_at: StackAt) -> None:
    """A config mistake found by the first `up` must not be answered with a way back."""
    stack = stack_at("prepare")
    stack.ask("prepare", 1, ssh={"user": "deploy", "privateKeyFile": "/nowhere/key"})
    status, said = window(stack)
    assert status == 2, said
    assert "there is no file" in said
    assert asked(stack) == ("prepare", 1)
    assert stack.fleet.events == []
