"""Steps that fail, die half-way or cannot be reached, under the real engine: nothing breaks, and `up` again arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.journal import Authority, must_read
from rehearsal.plugins.engines import Log
from tests.components.simulation import Fault, Hold
from tests.components.stack import FORWARD, Stack
from tests.unit.example_config import config

pytestmark = pytest.mark.engine

StackAt = Callable[..., Stack]
# How long a step may take to begin, in seconds, on a machine at work.
PATIENCE = 120


def phase_before(phase: str) -> str:
    return FORWARD[FORWARD.index(phase) - 1]


STEPS = [
    (phase, step)
    for phase, steps in {
        "readonly": [
            ("db-a", "announce"), ("db1", "announce"), ("db1", "ready"), ("worker1", "offline-tasks"), ("web1", "hosts-file"),
            ("db2", "sessions"), ("db1", "client-gate"), ("db-a", "finish"), ("db1", "finish"),
        ],
        "upgrade": [("worker2", "offline-tasks"), ("db-a", "upgrade-target"), ("db1", "finish")],
        "cutover": [("db1", "client-gate"), ("db-a", "client-gate"), ("web2", "hosts-file"), ("db2", "sessions"), ("web3", "hosts-file")],
        "replicas": [("db-a", "replication"), ("db-c", "new-replica"), ("db-a", "synchronous-replication"), ("web1", "hosts-file")],
        "retire": [("db2", "unused"), ("db1", "reverse-replication"), ("db-a", "replication"), ("db2", "retirement")],
    }.items()
    for step in steps
]  # fmt: skip


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.DROPPED])
@pytest.mark.parametrize(
    ("phase", "step"), STEPS, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_up_again_arrives(stack_at: StackAt, phase: str, step: tuple[str, str], fault: Fault) -> None:
    """A failure that `up` cannot go on from leaves writes refused until somebody repairs servers by hand."""
    stack = stack_at(phase_before(phase))
    stack.fleet.faults[step] = fault
    assert stack.up(phase).exit != 0
    assert stack.fleet.faults == {}, "the fault never came about"
    again = stack.up(phase)
    assert again.exit == 0, again.said
    assert stack.unchanged().exit == 0


@pytest.mark.parametrize(
    ("phase", "step"),
    [
        ("readonly", ("db1", "client-gate")),
        ("upgrade", ("db-a", "upgrade-target")),
        ("cutover", ("db-a", "client-gate")),
        ("replicas", ("db-c", "new-replica")),
        ("retire", ("db2", "retirement")),
    ],
)
def test_the_connection_drops_half_way_and_the_server_goes_on(
    stack_at: StackAt, phase: str, step: tuple[str, str]
) -> None:
    """What `up` begins again while the server is still at it must not be done twice, or against each other."""
    stack = stack_at(phase_before(phase))
    stack.fleet.faults[step] = Fault.HALF_WAY
    dropped = stack.up(phase)
    assert dropped.exit != 0
    assert "exited without exit status" in dropped.said
    again = stack.up(phase)
    assert again.exit == 0, again.said
    assert stack.unchanged().exit == 0


def test_a_failed_step_is_all_that_a_failed_up_tells_of(stack_at: StackAt, monkeypatch: pytest.MonkeyPatch) -> None:
    """The language host interrupts the program then: twenty-five lines of its traceback stood between a tired person and the refusal."""
    printed = []

    async def heard(log: Log, message: str, *_: Any, **__: Any) -> None:
        printed.append(message)

    stack = stack_at("prepare")
    stack.fleet.faults[("web1", "hosts-file")] = Fault.BEFORE
    # The engine has stopped listening by then to a language host that is no process of its own; it shows what its own one prints.
    monkeypatch.setattr(Log, "write", heard)
    failed = stack.up("readonly")
    assert failed.exit != 0
    assert "Program exited" not in failed.said
    assert [line for line in printed if "pgleap: refused" in line] or "pgleap: refused" in failed.said
    assert "KeyboardInterrupt" not in "".join(printed)
    assert "Traceback" not in "".join(printed)


def test_going_back_while_the_gate_is_still_closing(stack_at: StackAt) -> None:
    """A gate that closes after the way back has opened it would refuse writes, with nobody looking."""
    stack = stack_at("prepare")
    stack.fleet.faults[("db1", "client-gate")] = Fault.HALF_WAY
    assert stack.up("readonly").exit != 0
    stack.up("prepare", 2).checked()
    assert [event.desired["round"] for event in stack.fleet.events if event.verb == "client-gate"][-2:] == [2, 2]
    assert stack.fleet.primary.open


@pytest.mark.parametrize("fault", [Fault.AFTER, Fault.DROPPED])
def test_the_gate_closed_and_its_step_failed(stack_at: StackAt, fault: Fault) -> None:
    """To the engine nothing changed: without the round going back would do nothing, and writes would stay refused."""
    stack = stack_at("prepare")
    stack.fleet.faults[("db1", "client-gate")] = fault
    assert stack.up("readonly").exit != 0
    assert not stack.fleet.primary.open

    refused = stack.up("prepare")
    assert refused.exit != 0
    assert "pulumi config set phase prepare && pulumi config set round 2 && pulumi up" in refused.said
    assert not stack.fleet.primary.open

    stack.up("prepare", 2).checked()
    assert stack.fleet.primary.open
    stack.up("readonly", 2).checked()


def test_the_engine_was_killed_at_the_gate(stack_at: StackAt) -> None:
    """A laptop that died leaves a lock and a gate that may close yet; both must be undone from another one."""
    stack = stack_at("prepare", checkpoints=True)
    stack.killed_at("db1", "client-gate", "readonly")
    locked = stack.up("readonly")
    assert locked.exit != 0
    assert "locked" in locked.said
    stack.pulumi.cancel().checked()
    assert stack.up("prepare").exit != 0
    stack.up("prepare", 2).checked()
    assert stack.fleet.primary.open
    stack.up("readonly", 2).checked()


def test_two_ups_at_once_are_refused(stack_at: StackAt) -> None:
    """Two operators at once would each see half of the other's move."""
    stack = stack_at("prepare")
    # No other step runs beside this one.
    hold = stack.fleet.holds[("db1", "announce")] = Hold()
    stack.ask("readonly", 1)
    first = stack.pulumi.start("up", "--yes", "--skip-preview")
    try:
        assert hold.reached.wait(PATIENCE)
        seen = stack.fleet.steps()
        second = stack.pulumi.up()
        assert second.exit != 0
        assert "locked" in second.said
        assert stack.fleet.steps() == seen
    finally:
        hold.go_on.set()
        first.communicate(timeout=PATIENCE)
    assert first.returncode == 0
    assert stack.unchanged().exit == 0


def test_a_cutover_that_failed_before_db_a_opened_goes_back_by_upgrade(stack_at: StackAt) -> None:
    """The authority was released, and nobody took it up: it must come back without two databases open."""
    stack = stack_at("upgrade")
    stack.fleet.faults[("db-a", "client-gate")] = Fault.BEFORE
    assert stack.up("cutover").exit != 0
    assert must_read(stack.fleet.primary.machine).authority is Authority.RELEASED

    refused = stack.up("prepare", 2)
    assert refused.exit != 0
    assert not stack.fleet.primary.open

    stack.up("upgrade", 2).checked()
    assert must_read(stack.fleet.primary.machine).authority is Authority.SEALED
    stack.up("prepare", 3).checked()
    assert stack.fleet.primary.open


def test_a_cutover_that_failed_before_the_release_goes_straight_back_without_db_a(stack_at: StackAt) -> None:
    """A DB_A that died right then would hold writes back for as long as it is dead."""
    stack = stack_at("upgrade")
    stack.fleet.faults[("db1", "client-gate")] = Fault.BEFORE
    assert stack.up("cutover").exit != 0
    stack.fleet.unreachable.add("db-a")
    assert stack.up("prepare", 2).exit != 0
    assert stack.fleet.primary.open
    stack.fleet.unreachable.clear()
    stack.up("prepare", 2).checked()


def test_an_online_server_that_cannot_be_reached_at_cutover_holds_up_no_other(stack_at: StackAt) -> None:
    """Writes stay refused everywhere because one server is off."""
    stack = stack_at("upgrade")
    stack.fleet.unreachable.add("web1")
    up = stack.up("cutover")
    assert up.exit != 0
    assert "web1-hosts-file" in up.said
    assert stack.fleet.target.open
    assert set(stack.fleet.named("web2").names.values()) == {stack.fleet.settings.target.address}
    assert set(stack.fleet.named("web1").names.values()) == {stack.fleet.settings.reads_from.address}
    stack.fleet.unreachable.clear()
    stack.up("cutover").checked()
    assert set(stack.fleet.named("web1").names.values()) == {stack.fleet.settings.target.address}
    assert stack.unchanged().exit == 0


def test_a_new_machine_at_the_old_address_gets_the_agent_by_its_host_key(stack_at: StackAt) -> None:
    """A raised round delivers nothing: the steps would find no agent on a machine that was built anew."""
    stack = stack_at("prepare")
    servers = config()["servers"]
    stack.fleet.replace("web1", servers["web1"]["address"])
    servers["web1"]["hostKey"] = servers["web2"]["hostKey"]
    stack.ask("prepare", 2, servers=servers)
    stack.fleet.events.clear()
    stack.pulumi.up().checked()
    assert [verb for server, verb in stack.fleet.steps() if server == "web1"] == ["install", "hosts-file"]
    assert [server for server, verb in stack.fleet.steps() if verb == "install"] == ["web1"]
    assert stack.unchanged().exit == 0


def test_a_server_that_lost_the_agent_gets_it_as_recovery_says(stack_at: StackAt) -> None:
    """A machine restored with its address and host key looks to the engine like the one that had the agent."""
    stack = stack_at("prepare")
    stack.fleet.replace("web1", config()["servers"]["web1"]["address"])
    stack.ask("prepare", 2)
    failed = stack.pulumi.up()
    assert failed.exit != 0
    assert "web1-hosts-file" in failed.said
    stack.pulumi.up("--replace", "**::web1-agent-file", "--replace", "**::web1-agent").checked()
    assert [verb for server, verb in stack.fleet.steps() if server == "web1"][-2:] == ["install", "hosts-file"]
    assert stack.unchanged().exit == 0
    assert stack.pulumi.run("config", "get", "round").checked().said.strip() == "2"
    assert stack.pulumi.stack in stack.pulumi.run("stack", "ls").checked().said


def test_a_server_at_a_new_address_gets_the_agent_first(stack_at: StackAt) -> None:
    """A connection that changes alone copies nothing: the steps would find no agent there, or the one of years ago."""
    stack = stack_at("prepare")
    stack.fleet.replace("web1", "10.77.0.99")
    servers = config()["servers"]
    servers["web1"]["address"] = "10.77.0.99"
    stack.ask("prepare", 2, servers=servers)
    stack.fleet.events.clear()
    stack.pulumi.up().checked()
    on_web1 = [verb for server, verb in stack.fleet.steps() if server == "web1"]
    assert on_web1 == ["install", "hosts-file"]
    sessions = [event.desired["clients"] for event in stack.fleet.events if event.verb == "sessions"]
    assert ["10.77.0.99", "10.77.0.22"] in sessions
    assert stack.unchanged().exit == 0
