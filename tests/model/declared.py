"""The steps that the real program declares in a phase and round, and what each waits for: what the engine model goes by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from agent.states import Phase, Verb
from components.agent_program import INSTALLED, agent_program
from scripts.many import each_of
from tests.components.declared import Declared, declare
from tests.unit.example_config import fleet_config

DELIVER = "deliver"
# The program refuses what is no move; so each phase is declared as gone to from where one comes from.
BEFORE: dict[Phase, dict[str, Any] | None] = {
    Phase.PREPARE: None,
    Phase.READONLY: {"phase": "prepare", "round": 1},
    Phase.UPGRADE: {"phase": "readonly", "round": 1},
    Phase.CUTOVER: {"phase": "upgrade", "round": 1},
    Phase.REPLICAS: {"phase": "cutover", "round": 1},
    Phase.RETIRE: {"phase": "replicas", "round": 1},
}
LIMITS = {"graceSeconds": 1, "lagSeconds": 3, "replaySeconds": 20, "streamSeconds": 20, "watchSeconds": 1}
# Variants of the fleet: the example, and the example without what can be missing.
WITHOUT: dict[str, frozenset[str]] = {
    "": frozenset(),
    "drained": frozenset({"web3"}),
    "workers": frozenset({"worker1", "worker2"}),
    "worker kept until upgrade": frozenset({"worker2"}),
    "workers stopped at once": frozenset({"worker1"}),
    "drained and workers": frozenset({"web3", "worker1", "worker2"}),
    "second replica": frozenset({"db3", "db-d"}),
    "second online server": frozenset({"web2"}),
    "new replicas": frozenset({"db-c", "db-d"}),
    "names of replicas that move": frozenset(),
    "stream back": frozenset(),
    "more lag than a record": frozenset(),
}
# What variants say besides.
SAYS: dict[str, dict[str, Any]] = {
    "names of replicas that move": {"reverseReplication": {"replicasKeepNames": True}},
    "new replicas": {"replication": {}},
    "stream back": {"reverseReplication": {"enabled": False}},
    "more lag than a record": {"limits": {**LIMITS, "lagBytes": 64}},
}
# Variants in which a server is called lost, and what the stack says besides.
LOST: dict[str, tuple[str, dict[str, str]]] = {
    "db-a lost": ("db-a", {}),
    "db-a given up": ("db-a", {"acceptDataLoss": "true"}),
    "db1 lost": ("db1", {}),
    "db-d lost": ("db-d", {}),
    "db3 lost": ("db3", {}),
    "web1 lost": ("web1", {}),
    # A person's word alone: DB_A lives.
    "given up": ("", {"acceptDataLoss": "true"}),
}


@dataclass(frozen=True)
class DeclaredStep:
    """A step, or the delivery of the agent to a server (verb DELIVER). `program` is the file on the server that is run, or
    delivered; `inputs` is what the engine compares."""

    name: str
    server: str
    verb: str
    program: str
    desired: Mapping[str, Any]
    waits_for: frozenset[str]
    inputs: str


def raw(without: str = "") -> dict[str, Any]:
    """The stack config of a variant."""
    given = {**fleet_config(), "limits": LIMITS, **SAYS.get(without, {})}
    if without in LOST:
        server, more = LOST[without]
        if server:
            given["servers"][server]["lost"] = True
        return {**given, **more}
    gone = WITHOUT[without]
    given["servers"] = {name: server for name, server in given["servers"].items() if name not in gone}
    given["names"] = {name: owner for name, owner in given["names"].items() if owner not in gone}
    return given


@cache
def steps(phase: Phase, round_: int, without: str = "") -> tuple[DeclaredStep, ...]:
    """Every step of a phase in a round, by name. Only the round differs between rounds."""
    return tuple(_with_round(step, round_) for step in _in_round_one(phase, without))


def _with_round(step: DeclaredStep, round_: int) -> DeclaredStep:
    desired = {**step.desired, "round": round_} if "round" in step.desired else step.desired
    return replace(step, desired=desired, inputs=json.dumps([step.inputs, desired], sort_keys=True))


@cache
def _in_round_one(phase: Phase, without: str) -> tuple[DeclaredStep, ...]:
    return as_declared(phase, 1, without)


def as_declared(phase: Phase, round_: int, without: str = "") -> tuple[DeclaredStep, ...]:
    """The steps as the program itself declares them, by name: it registers them in any order. `inputs` here is all but the round."""
    before = BEFORE[phase]
    declared = declare(
        raw(without), phase=phase.value, round=str(round_), finished=before and {**before, "round": min(round_, 1)}
    )
    names = {found.urn: found.name for found in declared.declared}
    by_address = {server.address: server.name for server in declared.settings.servers.values()}
    found = []
    # A step that asks many servers at once is, to the model, what each of them is asked; to wait for it is to wait for all of these.
    many = {name: told for name, told in declared.local_steps.items() if "verb" in told.stdin}
    each = {name: _names_of_each(name, told.stdin) for name, told in many.items()}

    def waited_for(told: Declared) -> frozenset[str]:
        ahead = (names[urn] for urn in told.depends_on)
        return frozenset(name for one in ahead for name in (each[one].values() if one in each else [one]))

    found += [step for name, told in many.items() for step in _on_each(told.stdin, each[name], waited_for(told))]
    for name, told in {**declared.copies, **declared.steps}.items():
        waits_for = waited_for(told)
        server = by_address[told.inputs["connection"]["host"]]
        if name in declared.copies:
            path, triggers = str(told.inputs["remotePath"]), json.dumps(told.inputs["triggers"])
            found.append(DeclaredStep(name, server, DELIVER, path, {}, waits_for, triggers))
        else:
            command = str(told.inputs["create"])
            assert told.inputs["update"] == command
            program, verb = command.split()[-2:]
            found.append(DeclaredStep(name, server, verb, program, told.stdin, waits_for, command))
    return tuple(sorted(found, key=lambda step: step.name))


def _names_of_each(name: str, stdin: Mapping[str, Any]) -> dict[str, str]:
    """By server, what the model calls its part of a step for many."""
    return {server: f"{server}-{stdin['verb']}-of-{name}" for server in stdin["servers"]}


def _on_each(stdin: Mapping[str, Any], each: Mapping[str, str], waits_for: frozenset[str]) -> list[DeclaredStep]:
    """What scripts/on_servers.py does on each server: asks its agent for the verb, and brings it first where there is none. That is where
    hosts files are led, which come first, in the first phase."""
    agent, verb, found = agent_program(), stdin["verb"], []
    # To the engine it is one step: what changes for one server has all of them asked.
    inputs = json.dumps({key: value for key, value in stdin.items() if key != "round"}, sort_keys=True)
    for server, asked in each_of(stdin).items():
        before = waits_for
        if verb == Verb.HOSTS_FILE.value:
            file, installed = f"{server}-agent-file", f"{server}-agent"
            wanted = {"server": server, "address": asked["address"], "sha256": agent.sha256}
            found += [
                DeclaredStep(file, server, DELIVER, agent.delivered, {}, before, ""),
                DeclaredStep(installed, server, Verb.INSTALL.value, agent.delivered, wanted, before | {file}, ""),
            ]
            before |= {installed}
        found.append(DeclaredStep(each[server], server, verb, INSTALLED, asked, before, inputs))
    return found


def archive() -> bytes:
    """The packed agent, as it is delivered."""
    return agent_program().file.read_bytes()
