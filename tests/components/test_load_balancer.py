"""What the program declares for drained servers' load balancers, and for instances that end: steps on the operator's machine."""

from __future__ import annotations

import ast
from typing import Any

import pulumi
import pytest

from agent.states import Phase
from components.desired import Desire
from components.plan import plan
from components.retirement import RetiredInstance, RetiredInstanceArgs
from components.settings import Settings
from components.step import Reach
from tests.components.declared import BALANCER, COMMAND, LOCAL, OTHERS, PROJECT, Program, RefusedError, declare
from tests.components.test_program_order import FINISHED
from tests.unit.example_config import COMMANDS, REGION, balanced, config, host_key, target_group

OUTSIDE = (Phase.READONLY, Phase.UPGRADE)
# The modules that read a local step's desired state, which they hand on whole.
READERS = {
    "scripts.load_balancer": ("load_balancer", "target_groups", "target_group", "aws"),
    "scripts.retire_instances": ("retire_instances", "final_snapshots", "aws"),
}
EVERY_STATE = {"server", "address", "round"}


def by_command() -> dict[str, Any]:
    """The example behind a load balancer that is none of AWS's."""
    return {**config(), "loadBalancer": {"commands": COMMANDS, "drainSeconds": 20}}


def in_phase(phase: Phase, raw: dict[str, Any]) -> Program:
    return declare(raw, finished=FINISHED[phase], phase=phase.value)


@pytest.fixture(scope="module", params=Phase)
def program(request: pytest.FixtureRequest) -> Program:
    return in_phase(request.param, balanced())


def test_a_local_step_follows_the_rules_of_a_step(program: Program) -> None:
    """A trigger would replace it, a delete put servers back that are out; a path of one checkout would change in another one."""
    for step in program.local_steps.values():
        assert step.inputs.keys() == {"create", "update", "stdin", "logging", "addPreviousOutputInEnv"}
        module = "scripts.load_balancer" if step.name == BALANCER else "scripts.on_servers"
        assert step.inputs["create"] == step.inputs["update"] == f"exec .venv/bin/python -m {module}"
        assert step.inputs["addPreviousOutputInEnv"] is False
        assert step.inputs["logging"] == "stderr"
        assert step.secret == frozenset(), "a reviewer sees which server goes where"


def test_the_interpreter_is_the_one_that_the_project_names() -> None:
    """A virtual environment under another name is found out in the window, by the shell."""
    named = next(
        line.split(":")[1].strip()
        for line in (PROJECT / "Pulumi.yaml").read_text().splitlines()
        if "virtualenv:" in line
    )
    assert named == ".venv"
    assert (PROJECT / "scripts" / "load_balancer.py").is_file()


def test_each_server_is_asked_for_what_the_table_says(program: Program) -> None:
    """A server left in while writes are refused gets requests that it cannot answer; one left out is capacity that is missing."""
    wanted = "out" if program.settings.phase in OUTSIDE else "in"
    limits = {"drainSeconds": 330, "healthySeconds": 300}
    common = {"round": 1, "membership": wanted, "region": REGION, **limits}
    assert program.asked(BALANCER) == {
        "web3": {
            "server": "web3",
            "address": "10.77.0.23",
            "instanceId": "i-0123456789abcdef3",
            "targetGroups": [target_group("web"), target_group("api")],
            **common,
        },
        "web4": {
            "server": "web4",
            "address": "10.77.0.24",
            "targetGroups": [target_group("api")],
            **common,
        },
    }


def test_names_and_parents_never_change_with_the_phase(program: Program) -> None:
    """The engine deletes what it no longer finds, and creates what it finds under another name."""
    first = {(one.urn, one.parent) for one in in_phase(Phase.PREPARE, balanced()).declared}
    assert first <= {(one.urn, one.parent) for one in program.declared}


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (Phase.PREPARE, ["./lb", "in", "web3", "10.77.0.23"]),
        (Phase.READONLY, ["./lb", "out", "10.77.0.23"]),
        (Phase.UPGRADE, ["./lb", "out", "10.77.0.23"]),
        (Phase.CUTOVER, ["./lb", "in", "web3", "10.77.0.23"]),
    ],
)
def test_a_command_is_asked_for_as_it_will_be_run(phase: Phase, words: list[str]) -> None:
    """A preview with holes in the command line shows nobody which server is taken out."""
    step = in_phase(phase, by_command()).asked(BALANCER)["web3"]
    assert step["command"] == words
    assert step["drainSeconds"] == 20
    assert step.keys() == {*EVERY_STATE, "membership", "command", "drainSeconds", "healthySeconds"}


def test_an_endpoint_of_ones_own_is_handed_on() -> None:
    """Without it a rehearsal against a stand-in would ask AWS itself."""
    raw = balanced()
    raw["aws"] = {**raw["aws"], "endpoint": "http://127.0.0.1:5000"}
    assert in_phase(Phase.READONLY, raw).local_steps[BALANCER].stdin["endpoint"] == "http://127.0.0.1:5000"


def test_without_groups_and_commands_nothing_is_declared() -> None:
    """A step that does nothing says that the server is out, while nobody took it out."""
    assert in_phase(Phase.READONLY, config()).asked(BALANCER) == {}
    raw = balanced()
    raw["servers"]["web4"]["lost"] = True
    assert in_phase(Phase.READONLY, raw).asked(BALANCER).keys() == {"web3"}


@pytest.mark.parametrize(
    ("phase", "first", "then"),
    [
        # Out once the fleet is ready, before any name moves.
        (Phase.READONLY, "db1-ready", BALANCER),
        (Phase.READONLY, BALANCER, "web1-hosts-file"),
        (Phase.READONLY, BALANCER, "db1-client-gate"),
        (Phase.UPGRADE, "db1-ready", BALANCER),
        (Phase.UPGRADE, BALANCER, "web1-hosts-file"),
        # In once its own names lead to a database that takes writes.
        (Phase.CUTOVER, OTHERS, BALANCER),
        (Phase.CUTOVER, "db-a-client-gate", BALANCER),
        (Phase.PREPARE, OTHERS, BALANCER),
        (Phase.PREPARE, "db1-client-gate", BALANCER),
    ],
)
def test_the_order_around_it(phase: Phase, first: str, then: str) -> None:
    """A step of another kind in the list of those that are waited for must be waited for all the same."""
    assert first in in_phase(phase, balanced()).waits_for(then)


@pytest.mark.parametrize("phase", Phase)
def test_the_last_step_waits_for_them_too(phase: Phase) -> None:
    """A phase that is marked finished while a server is still draining would let the next one begin."""
    assert {BALANCER} <= in_phase(phase, balanced()).waits_for("db1-finish")


@pytest.mark.parametrize("phase", OUTSIDE)
def test_edges_grow_with_the_fleet_and_not_with_its_square(phase: Phase) -> None:
    """Drained servers and workers are both many."""

    def edges(by: int) -> int:
        raw = balanced()
        for number in range(by):
            more = {"hostKey": host_key(f"{number}"), "role": "drained", "targetGroups": [target_group("api")]}
            raw["servers"][f"drained-{number}"] = {"address": f"10.78.1.{number + 1}", **more}
            more = {"hostKey": host_key(f"{number}"), "role": "worker", "tasks": ["celery.service"]}
            raw["servers"][f"worker-{number}"] = {"address": f"10.78.2.{number + 1}", **more}
        return in_phase(phase, raw).edges

    none, some, more_ = (edges(by) for by in (0, 3, 6))
    assert more_ - some == some - none


@pytest.mark.parametrize("preview", [True, False])
def test_a_refused_move_takes_nobody_out(preview: bool) -> None:
    """The operator's machine needs no server to begin: its steps would be the first to run."""
    with pytest.raises(RefusedError, match="there is no move to upgrade") as refused:
        declare(balanced(), finished={"phase": "prepare", "round": 1}, phase="upgrade", round="2", preview=preview)
    assert [found.name for found in refused.value.declared if found.type == LOCAL] == []


def test_nothing_follows_a_server_that_is_left_out() -> None:
    """The engine takes a step that it leaves out (`--target`, `--exclude`) for done; writes would be refused with the server in."""
    with pytest.raises(RefusedError, match="drained-load-balancer was left out") as refused:
        declare(balanced(), finished=FINISHED[Phase.READONLY], phase="readonly", left_out=BALANCER)
    begun = {found.name for found in refused.value.declared if found.type in (COMMAND, LOCAL)}
    assert {BALANCER, "db1-ready"} <= begun
    assert not {"web1-hosts-file", "db1-client-gate"} & begun


def read_by(modules: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """The keys that modules of scripts/ take from `desired`: those that must be there, and those that may."""
    must: set[str] = set()
    may: set[str] = set()
    for module in modules:
        for node in ast.walk(ast.parse((PROJECT / "scripts" / f"{module}.py").read_text())):
            match node:
                case ast.Subscript(value=ast.Name("desired"), slice=ast.Constant(str(key))):
                    must.add(key)
                case ast.Call(func=ast.Attribute(ast.Name("desired"), "get"), args=[ast.Constant(str(key)), *_]):
                    may.add(key)
                case ast.Compare(left=ast.Constant(str(key)), ops=[ast.In()], comparators=[ast.Name("desired")]):
                    may.add(key)
    return must, may


def test_every_key_that_is_read_is_sent_and_no_other() -> None:
    """A key renamed on one side is a KeyError in the window; one that nobody reads promises what is not done."""
    aws = in_phase(Phase.READONLY, balanced()).asked(BALANCER)["web3"].keys()
    commands = in_phase(Phase.READONLY, by_command()).asked(BALANCER)["web3"].keys()
    must, may = read_by(READERS["scripts.load_balancer"])
    assert must <= aws | commands
    assert aws | commands <= must | may | EVERY_STATE
    # What only one of the two ways sends, only that way reads.
    with_groups, _ = read_by(("target_groups", "target_group", "aws"))
    assert with_groups <= aws


def test_what_the_plan_says_of_it() -> None:
    """A sentence that is missing is a load balancer that nobody expects to change."""

    def told(phase: Phase, raw: dict[str, Any]) -> list[str]:
        sentences = plan(Settings.from_config({**raw, "phase": phase.value}))
        return [text.partition(". ")[2] for text in sentences if "load balancer" in text]

    out = "web3, web4: out of the load balancer, connections drained within 330 s"
    inside = "web3, web4: in the load balancer, healthy within 300 s"
    assert [told(phase, balanced()) for phase in Phase] == [[out if phase in OUTSIDE else inside] for phase in Phase]
    assert told(Phase.READONLY, by_command()) == ["web3: out of the load balancer, by command within 20 s"]
    assert told(Phase.CUTOVER, by_command()) == ["web3: in the load balancer, by command within 300 s"]
    assert told(Phase.READONLY, config()) == []


def retiring() -> dict[str, Any]:
    """The example with a stack that wants the old primary's instance to end."""
    raw = {**balanced(), "terminate": True}
    raw["servers"]["db1"]["instanceId"] = "i-0123456789abcdef1"
    return raw


def test_an_old_databases_instance_is_asked_to_end() -> None:
    """A desired state that lacks the address would leave the script without what it knows the right server by."""
    settings = Settings.from_config(retiring())
    desired = Desire(settings).retired_instance(settings.primary)

    def program() -> None:
        reach = Reach(settings.ssh, None, 4, pulumi.Output.from_input(True))
        args = RetiredInstanceArgs(settings.primary, reach, desired)
        RetiredInstance("db1-instance", args, pulumi.ResourceOptions())

    step = declare(retiring(), program=program).local_steps["db1-instance"]
    assert step.inputs["create"] == step.inputs["update"] == "exec .venv/bin/python -m scripts.retire_instances"
    assert step.stdin == {
        "server": "db1",
        "address": "10.77.0.11",
        "round": 4,
        "instanceId": "i-0123456789abcdef1",
        "terminate": True,
        "region": REGION,
    }
    must, may = read_by(READERS["scripts.retire_instances"])
    assert must <= step.stdin.keys() <= must | may | EVERY_STATE | {"terminate"}
