"""Every move under the real engine, over a simulated fleet: the order of steps, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.journal import Authority, must_read
from tests.components.stack import FORWARD, Ground, Snapshots, Stack, opened
from tests.unit.example_config import config

pytestmark = pytest.mark.engine

StackAt = Callable[..., Stack]


@pytest.mark.parametrize("phase", FORWARD)
def test_nothing_to_do_twice(stack_at: StackAt, phase: str) -> None:
    """A step that reports a change at every `up` hides the change that matters."""
    stack = stack_at(phase)
    preview = stack.unchanged()
    assert preview.exit == 0, preview.said
    assert stack.up(phase).exit == 0
    assert stack.fleet.events == []


def test_the_way_forward_arrives(stack_at: StackAt) -> None:
    """Steps that all ran may still have left the fleet elsewhere."""
    stack = stack_at("cutover")
    assert must_read(stack.fleet.target.machine).authority is Authority.HOLDS
    assert must_read(stack.fleet.primary.machine).authority is Authority.RELEASED
    assert set(stack.fleet.named("web1").names.values()) == {stack.fleet.settings.target.address}
    assert stack.pulumi.outputs()["finished"] == {"phase": "cutover", "round": 1}


def test_at_the_end_the_new_databases_are_the_fleet(stack_at: StackAt) -> None:
    """Steps that all ran may still have left a name on a server that was stopped."""
    stack = stack_at("retire")
    servers = stack.fleet.settings.servers
    spread = {"db1.internal.ln": "db-a", "db2.internal.ln": "db-c", "db3.internal.ln": "db-d"}
    for server in ("web1", "web3", "worker1"):
        assert stack.fleet.named(server).names == {name: servers[to].address for name, to in spread.items()}
    assert [name for name in servers if stack.fleet.named(name).machine.running()] == ["db-a", "db-c", "db-d"]
    assert stack.fleet.target.open
    assert stack.pulumi.outputs()["finished"] == {"phase": "retire", "round": 1}


def test_looking_again_at_the_end(stack_at: StackAt) -> None:
    """Steps of servers whose PostgreSQL is stopped must not ask for it: nothing but the round would ever be repaired again."""
    stack = stack_at("retire")
    stack.up("retire", 2).checked()
    assert ("db1", "client-gate") in stack.fleet.steps()
    assert stack.unchanged().exit == 0


def test_from_the_end_there_is_no_way_back(stack_at: StackAt) -> None:
    """Names would lead to servers that are stopped."""
    stack = stack_at("retire")
    for phase in FORWARD[:-1]:
        refused = stack.up(phase, 2)
        assert refused.exit != 0
        assert "retire is the end, the old servers are stopped" in refused.said
        assert stack.fleet.events == []


def test_back_from_replicas_and_forward_again(stack_at: StackAt) -> None:
    """On the way back the engine forgets the new replicas' steps; their databases are there still, and must be found so."""
    stack = stack_at("replicas")
    copied = stack.fleet.named("db-c").machine.running()
    refused = stack.up("upgrade", 2)
    assert refused.exit != 0
    assert "from replicas one goes to retire or cutover" in refused.said
    stack.up("cutover", 2).checked()
    assert set(stack.fleet.named("web1").names.values()) == {stack.fleet.settings.target.address}
    assert stack.unchanged().exit == 0
    stack.up("replicas", 2).checked()
    assert ("db-c", "new-replica") in stack.fleet.steps()
    assert stack.fleet.named("db-c").machine.running() == copied
    assert stack.unchanged().exit == 0


def test_the_order_of_steps(snapshots: Snapshots) -> None:
    """An order that is only wished for shows under the engine, which runs side by side what it may."""
    steps = snapshots.steps("prepare")
    assert steps[0] == ("db1", "install")
    assert steps[1] == ("db1", "announce")
    assert steps.index(("db1", "client-gate")) < steps.index(("web1", "hosts-file"))
    assert steps.index(("worker1", "offline-tasks")) < steps.index(("db-a", "announce"))
    assert set(steps[-2:]) == {("db-a", "finish"), ("db1", "finish")}

    steps = snapshots.steps("readonly")
    assert sorted(steps[:2]) == [("db-a", "ready"), ("db1", "ready")]
    assert steps[2:4] == [("db-a", "announce"), ("db1", "announce")]
    gate = steps.index(("db1", "client-gate"))
    assert all(
        steps.index(step) < gate
        for step in (
            ("worker1", "offline-tasks"),
            ("web1", "hosts-file"),
        )
    )
    last_note = max(index for index, step in enumerate(steps) if step == ("db2", "sessions"))
    assert last_note < steps.index(("web1", "hosts-file")), "DB_B takes note of the names before they come"
    assert ("db3", "sessions") not in steps, "its own sessions read on where they are"
    assert ("web3", "hosts-file") not in steps, "drained servers keep their hosts files"

    steps = snapshots.steps("upgrade")
    assert steps.index(("worker2", "offline-tasks")) < steps.index(("db-a", "upgrade-target"))

    steps = snapshots.steps("cutover")
    order = [
        ("db1", "client-gate"),
        ("db-a", "client-gate"),
        ("web1", "hosts-file"),
        ("db2", "sessions"),
        ("web3", "hosts-file"),
    ]
    assert [steps.index(step) for step in order] == sorted(steps.index(step) for step in order)
    assert steps.index(("web3", "hosts-file")) < steps.index(("worker1", "offline-tasks"))

    steps = snapshots.steps("replicas")
    order = [
        ("db-a", "client-gate"),
        ("db-a", "replication"),
        ("db-c", "new-replica"),
        ("db-a", "synchronous-replication"),
        ("web1", "hosts-file"),
        ("web3", "hosts-file"),
    ]
    assert [steps.index(step) for step in order] == sorted(steps.index(step) for step in order)
    assert steps.index(("db-d", "new-replica")) < steps.index(("web1", "hosts-file"))

    steps = snapshots.steps("retire")
    stopped = [steps.index((server, "retirement")) for server in ("db1", "db2", "db3")]
    looked = [steps.index((server, "unused")) for server in ("db1", "db2", "db3")]
    assert (
        max(looked) < steps.index(("db1", "reverse-replication")) < steps.index(("db-a", "replication")) < min(stopped)
    )


@pytest.mark.parametrize("furthest", ["readonly", "upgrade"])
def test_back_to_prepare_and_forward_again(stack_at: StackAt, furthest: str) -> None:
    """A way back that leaves something behind blocks the next attempt."""
    stack = stack_at(furthest)
    refused = stack.up("prepare")
    assert refused.exit != 0
    assert "pulumi config set round 2" in refused.said
    assert stack.fleet.events == []

    stack.up("prepare", 2).checked()
    steps = stack.fleet.steps()
    assert steps.index(("db1", "client-gate")) < steps.index(("web1", "hosts-file")) < steps.index(("db-a", "announce"))
    assert stack.fleet.primary.open
    assert stack.unchanged().exit == 0
    for phase in FORWARD[1:4]:
        stack.up(phase, 2).checked()
    assert stack.fleet.target.open


def test_back_from_upgrade_needs_no_reachable_target(stack_at: StackAt) -> None:
    """Writes come back even if DB_A is what broke."""
    stack = stack_at("upgrade")
    stack.fleet.unreachable.add("db-a")
    assert stack.up("prepare", 2).exit != 0
    assert stack.fleet.primary.open
    assert set(stack.fleet.named("web1").names.items()) == set(stack.fleet.settings.names_before.items())
    assert stack.fleet.named("worker1").tasks == {"celery.service": True}
    stack.fleet.unreachable.clear()
    stack.up("prepare", 2).checked()


def test_what_is_no_move_is_refused_in_the_preview(stack_at: StackAt) -> None:
    """A step that had begun before the refusal would leave the fleet between two phases."""
    stack = stack_at("prepare")
    stack.ask("cutover", 1)
    preview = stack.pulumi.preview()
    assert preview.exit != 0
    assert "From prepare there is no move to cutover; from prepare one goes to readonly" in preview.said
    assert stack.up("cutover", 2).exit != 0
    assert stack.fleet.events == []


def test_a_stale_checkout_is_refused(stack_at: StackAt) -> None:
    """A colleague's `up` from last week's checkout would undo the night."""
    stack = stack_at("prepare")
    stack.up("prepare", 3).checked()
    stale = stack.up("prepare", 2)
    assert stale.exit != 0
    assert "stale checkout" in stale.said
    assert stack.fleet.events == []


def test_servers_refuse_a_stack_that_lost_its_state(stack_at: StackAt) -> None:
    """A new stack pointed at a fleet in the middle of a move must not begin anew."""
    stack = stack_at("readonly")
    stack.pulumi.run("stack", "rm", "--yes", "--force", "--preserve-config", "sim").checked()
    stack.pulumi.init()
    refused = stack.up("prepare", 1)
    assert refused.exit != 0
    assert "pulumi config set round 2" in refused.said
    assert not stack.fleet.primary.open


def test_a_wrong_config_is_refused_with_all_its_mistakes(stack_at: StackAt) -> None:
    """Mistakes found one at a time are found at night."""
    stack = stack_at("prepare")
    wrong = config()["servers"]
    wrong["db2"]["role"] = "primary"
    wrong["web1"]["address"] = "10.0.0"
    stack.ask("prepareX", 1, servers=wrong)
    preview = stack.pulumi.preview()
    assert preview.exit != 0
    for path in ("pgleap:phase", "pgleap:servers.web1.address", "pgleap:servers"):
        assert path in preview.said
    assert stack.pulumi.up().exit != 0
    assert stack.fleet.events == []


def test_after_cutover_the_way_back_leads_over_upgrade(stack_at: StackAt) -> None:
    """What DB_A took is on the old primary before that one opens."""
    stack = stack_at("cutover")
    refused = stack.up("prepare", 2)
    assert refused.exit != 0
    assert "from cutover one goes to replicas or upgrade" in refused.said
    assert "pulumi config set phase upgrade" in refused.said
    assert stack.fleet.target.open
    stack.up("upgrade", 2).checked()
    assert not stack.fleet.target.open
    assert not stack.fleet.primary.open
    done = stack.up("prepare", 3).checked()
    assert "waiting until everything that DB_A wrote" in done.said
    assert stack.fleet.primary.open


def test_a_fleet_without_workers_and_drained_servers(ground: Ground, tmp_path: Path) -> None:
    """A part without steps that handed on nothing would let what follows run at once."""
    raw = config()
    raw["servers"] = {
        name: server for name, server in raw["servers"].items() if server["role"] not in ("worker", "drained")
    }
    with opened(ground, tmp_path, raw) as stack:
        for phase in FORWARD:
            stack.up(phase).checked()
            steps = stack.fleet.steps()
            if phase == "cutover":
                assert steps.index(("db-a", "client-gate")) < steps.index(("web1", "hosts-file"))
        assert not stack.fleet.primary.machine.running()


def test_the_outputs_tell_a_reviewer_what_will_happen(stack_at: StackAt) -> None:
    """The plan in the preview is what the night is agreed on; it must be known there, in order, and name servers."""
    stack = stack_at("prepare")
    stack.ask("readonly", 1)
    said = stack.pulumi.preview().said
    told = [
        "web1, web2: every database name leads to db2 (10.77.0.12), which only reads",
        "db1: sealed (sessions at work get 10 s), its last write recorded as the fence",
    ]
    assert [said.index(sentence) for sentence in told] == sorted(said.index(sentence) for sentence in told)
    assert '"db1.internal.ln": "10.77.0.11" => "10.77.0.12"' in said.replace("~ ", "").replace(
        "db1.internal.ln: ", '"db1.internal.ln": '
    )


def test_no_secret_is_shown(stack_at: StackAt) -> None:
    """A password in a diff, a log or the state is a password to change."""
    stack = stack_at("prepare")
    up = stack.up("prepare", 2)
    assert ("db1", "credentials") in stack.fleet.steps()
    stack.ask("prepare", 3)
    preview = stack.pulumi.preview()
    state = stack.pulumi.run("stack", "export")
    for said in (up.said, preview.said, state.said):
        assert "correct horse" not in said
