"""What waits for what, as it is registered: the order of the table, whatever parts are empty, and at a cost that grows with the fleet."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks, resource_cycle_breaker
from pulumi.runtime.proto import engine_pb2

from agent.states import Phase
from components.order import ORDER
from tests.components.declared import OTHERS, TASKS, Program, declare
from tests.unit.example_config import config, host_key

# Before any program of these tests has run.
DEBUG_OF_THE_SDK = pulumi.log.debug
FINISHES = {"db1-finish", "db-a-finish"}
FINISHED: dict[Phase, dict[str, Any] | None] = {
    Phase.PREPARE: None,
    Phase.READONLY: {"phase": "prepare", "round": 1},
    Phase.UPGRADE: {"phase": "readonly", "round": 1},
    Phase.CUTOVER: {"phase": "upgrade", "round": 1},
    Phase.REPLICAS: {"phase": "cutover", "round": 1},
    Phase.RETIRE: {"phase": "replicas", "round": 1},
}


def declared(phase: Phase, raw: dict[str, Any]) -> Program:
    return declare(raw, finished=FINISHED[phase], phase=phase.value)


@cache
def declared_without(phase: Phase, *roles: str) -> Program:
    """The example fleet without the servers of these roles."""
    raw = config()
    raw["servers"] = {name: server for name, server in raw["servers"].items() if server["role"] not in roles}
    return declared(phase, raw)


@pytest.mark.parametrize("roles", [(), ("worker",), ("drained",), ("worker", "drained")], ids="-".join)
@pytest.mark.parametrize(
    ("phase", "first", "then"),
    [
        # Writes resume before anything else, and DB_A comes last.
        (Phase.PREPARE, "db1-client-gate", "web1-hosts-file"),
        (Phase.PREPARE, "db1-client-gate", TASKS),
        (Phase.PREPARE, "web1-hosts-file", "db-a-announce"),
        (Phase.PREPARE, TASKS, "db-a-announce"),
        # Nobody writes and every read leads elsewhere before the gate closes.
        (Phase.READONLY, "db-a-ready", "web1-hosts-file"),
        (Phase.READONLY, TASKS, "web1-hosts-file"),
        (Phase.READONLY, "web1-hosts-file", "db1-client-gate"),
        (Phase.READONLY, "web2-hosts-file", "db1-client-gate"),
        (Phase.READONLY, "db-a-client-gate", "db1-client-gate"),
        (Phase.READONLY, "db-a-database", "db-a-client-gate"),
        (Phase.READONLY, TASKS, "db-a-client-gate"),
        (Phase.READONLY, "db-a-client-gate", "web1-hosts-file"),
        # The fence is taken, and the last tasks stopped, before DB_A is upgraded at it.
        (Phase.UPGRADE, "db1-client-gate", "db-a-database"),
        (Phase.UPGRADE, "web1-hosts-file", "db-a-client-gate"),
        (Phase.PREPARE, "db2-sessions-web1", "db3-sessions-web1"),
        (Phase.CUTOVER, "db2-sessions-web1", "db3-sessions-web1"),
        (Phase.UPGRADE, TASKS, "db-a-database"),
        (Phase.UPGRADE, TASKS, "web1-hosts-file"),
        # Released, then open, then names, then what writes by itself.
        (Phase.CUTOVER, "db1-client-gate", "db-a-client-gate"),
        (Phase.CUTOVER, "db-a-client-gate", "web1-hosts-file"),
        (Phase.CUTOVER, "web1-hosts-file", OTHERS),
        (Phase.CUTOVER, "web1-hosts-file", TASKS),
        (Phase.CUTOVER, OTHERS, TASKS),
        # Let in, then a copy that streams, then names; and at the end nobody, then nothing.
        (Phase.REPLICAS, "db-a-replication", "db-c-replica"),
        (Phase.REPLICAS, "db-c-credentials", "db-c-replica"),
        (Phase.REPLICAS, "db-d-replica", "web1-hosts-file"),
        (Phase.REPLICAS, "db-c-replica", OTHERS),
        (Phase.REPLICAS, OTHERS, "db-c-sessions-all"),
        (Phase.CUTOVER, TASKS, "db-a-synchronous-replication"),
        (Phase.CUTOVER, OTHERS, "db-d-sessions-all"),
        (Phase.RETIRE, "db2-unused", "db-a-announce"),
        (Phase.RETIRE, OTHERS, "db2-retirement"),
        (Phase.RETIRE, "db2-unused", "db1-reverse-replication"),
        (Phase.RETIRE, "db1-reverse-replication", "db-a-replication"),
        (Phase.RETIRE, "db3-unused", "db2-retirement"),
        (Phase.RETIRE, "db-a-replication", "db1-retirement"),
    ],
)
def test_a_step_waits_for_the_steps_before(phase: Phase, first: str, then: str, roles: tuple[str, ...]) -> None:
    """An empty part that hands on nothing lets what follows run at once."""
    program = declared_without(phase, *roles)
    every = program.every_step
    if first in every and then in every:
        assert first in program.waits_for(then)


@pytest.mark.parametrize("phase", Phase)
def test_the_last_steps_wait_for_every_other_step_there_is(phase: Phase) -> None:
    """A phase that is marked finished while a step is still running would let the next one begin."""
    program = declared_without(phase)
    others = (program.every_step.keys() | program.copies.keys()) - FINISHES
    assert all(program.waits_for(finish) == others for finish in FINISHES)


@pytest.mark.parametrize(
    ("phase", "lost", "last"),
    [
        (Phase.PREPARE, "db-a", "db1-finish"),
        (Phase.UPGRADE, "db1", "db-a-finish"),
        (Phase.CUTOVER, "db1", "db-a-finish"),
        (Phase.READONLY, "db3", "db1-finish"),
        (Phase.CUTOVER, "web1", "db1-finish"),
        (Phase.READONLY, "worker1", "db1-finish"),
    ],
)
def test_a_lost_server_has_no_step_and_the_order_holds_around_it(phase: Phase, lost: str, last: str) -> None:
    """One step left for it would fail at each `up`; one that others waited for would let them run at once."""
    raw = config()
    raw["servers"][lost]["lost"] = True
    program = declared(phase, raw)
    assert lost not in {step.stdin["server"] for step in program.steps.values()}
    assert lost not in program.asked(OTHERS)
    assert lost not in program.asked(TASKS)
    assert program.waits_for(last) == (program.every_step.keys() | program.copies.keys()) - FINISHES


def test_online_servers_wait_for_no_server_of_their_kind() -> None:
    """One that cannot be reached at cutover would hold up the writes of all others."""
    program = declared_without(Phase.CUTOVER)
    assert not {"web1-hosts-file", "web1-agent", "web1-agent-file"} & program.waits_for("web2-hosts-file")


def test_on_the_way_back_online_servers_come_first() -> None:
    """Writes resume with their hosts files: what goes before, for whatever other server, is a longer outage."""
    program = declared_without(Phase.PREPARE)
    assert "db1-client-gate" in program.waits_for("web1-hosts-file")
    assert {one for one in program.waits_for("web1-hosts-file") if not one.startswith(("db1-", "web1-"))} == set()
    assert "db1-announce" in program.waits_for("web1-agent")
    assert "db1-client-gate" not in program.waits_for("web1-agent"), "it is delivered while the gate opens"
    assert {"web1-hosts-file", "web2-hosts-file"} <= program.waits_for(OTHERS)


def test_sessions_of_one_online_server_wait_for_no_other_one() -> None:
    """One that cannot be reached keeps the others' pools where they find their sessions alive and every write fails."""
    waits_for = declared_without(Phase.CUTOVER).waits_for("db2-sessions-web1")
    assert "web1-hosts-file" in waits_for
    assert not {"web2-hosts-file", "web2-agent"} & waits_for
    assert "db1-client-gate" in declared_without(Phase.PREPARE).waits_for("db2-access"), "there its role is made"


def test_when_writes_are_refused_nothing_is_done_but_what_they_wait_for() -> None:
    """Each step beside or before the seal is a part of the outage; on two cores three notes on DB_B made the seal twice as long."""
    readonly = declared_without(Phase.READONLY)
    refused = {name for name in readonly.steps if "web1-hosts-file" in readonly.waits_for(name)}
    assert refused == {"db1-client-gate", *FINISHES}
    # The other servers' names stay there; two hundred of them beside the first online one are ten seconds of refused writes.
    assert OTHERS in readonly.waits_for("web1-hosts-file")
    cutover = declared_without(Phase.CUTOVER)
    assert all("db2-sessions-online" in cutover.waits_for(name) for name in ("db1-ready", "db-a-ready"))


def grown(by: int) -> dict[str, Any]:
    """The example fleet with `by` more servers of each role that can be many."""
    raw = config()
    for kind, (role, more) in enumerate(
        {"online": {}, "drained": {}, "worker": {"tasks": ["celery.service"]}}.items(), start=1
    ):
        for number in range(by):
            name = f"{role}-{number}"
            server = {"role": role, "address": f"10.78.{kind}.{number + 1}", "hostKey": host_key(name), **more}
            raw["servers"][name] = server
    return raw


@pytest.mark.parametrize("phase", Phase)
def test_resources_and_edges_grow_with_the_fleet_and_not_with_its_square(phase: Phase) -> None:
    """Where every worker waited for every web server, a fleet of 200 would have 10,000 edges: state and engine choke on them."""
    programs = [declared(phase, grown(by)) for by in (0, 2, 4)]
    resources = [len(program.declared) for program in programs]
    edges = [program.edges for program in programs]
    # A straight line: the same number of servers more costs the same again.
    assert resources[2] - resources[1] == resources[1] - resources[0]
    assert edges[2] - edges[1] == edges[1] - edges[0]
    # For 200 servers: under 10 resources and 35 edges a server.
    assert (resources[1] - resources[0]) / 6 < 10
    assert (edges[1] - edges[0]) / 6 < 35


def test_the_wait_for_values_grows_with_the_fleet_and_not_with_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK looks at all values anew whenever one is there: of a preview of 120 servers, two thirds."""
    looked_at: list[int] = []
    wait = asyncio.wait

    async def counted(values: Sequence[Any], **how: Any) -> Any:
        looked_at.append(len(values))
        return await wait(values, **how)

    monkeypatch.setattr(asyncio, "wait", counted)
    for by in (3, 9):  # the first program of a process has the stack's own registration under way
        looked_at.clear()
        program = declared(Phase.READONLY, grown(by))
        assert sum(looked_at) < 10 * len(program.declared)


def test_the_look_for_circles_grows_with_the_fleet_and_not_with_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK looks through all that a resource waits for, for each that waits for it: of a minute's `up` of 1,000 servers, most."""
    looked = 0
    walk = resource_cycle_breaker._with_transitive_deps

    def counted(resource: pulumi.Resource, visited: set[pulumi.Resource]) -> Iterator[pulumi.Resource]:
        nonlocal looked
        looked += 1
        yield from walk(resource, visited)

    monkeypatch.setattr(resource_cycle_breaker, "_with_transitive_deps", counted)
    counts = []
    for by in (0, 2, 4):
        looked = 0
        declared(Phase.READONLY, grown(by))
        counts.append(looked)
    assert counts[0] > 0, "the SDK does not look any more: this test has nothing left to count"
    assert counts[2] - counts[1] == counts[1] - counts[0]


def test_nothing_is_said_that_nobody_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each debug message of the SDK is a call that the program waits for: 0.4 s of refused writes in every window."""
    said: list[str] = []

    def heard(_: object, request: engine_pb2.LogRequest) -> None:
        if request.severity == engine_pb2.DEBUG:
            said.append(request.message)

    # The program takes them away for good; here it must do so itself, and only for as long as this test.
    monkeypatch.setattr(pulumi.log, "debug", DEBUG_OF_THE_SDK)
    monkeypatch.setattr(mocks.MockEngine, "Log", heard)
    program = declare(config(), phase="prepare")
    assert [message for message in said if any(f"name={name}," in message for name in program.steps)] == []


@pytest.mark.parametrize("phase", Phase)
def test_a_stage_of_many_stands_beside_stages_of_few(phase: Phase) -> None:
    """Two stages with a step for each server, one after the other, are what makes the square."""
    many = {"offline tasks", "hosts files of online servers", "hosts files of the other servers", "load balancer"}
    with_steps = [stage for stage in ORDER[phase] if {part.value for part in stage} != {"load balancer"}]
    for stage, following in itertools.pairwise(with_steps):
        assert not ({part.value for part in stage} & many and {part.value for part in following} & many)
