"""The desired states that the program sends are those that the agent reads: two programs, one vocabulary."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cluster import from_desired
from agent.server import Server
from agent.states import Gate, Hosts, Phase, Target, Tasks, Verb
from agent.target import read_target
from tests.components.declared import PROJECT, Program, declare
from tests.unit.example_config import config

# Verbs hand their desired state on to these modules whole.
HELPERS = {Verb.UPGRADE_TARGET: ("target",), Verb.CLIENT_GATE: ("old_primary_gate", "target_gate")}
EVERY_STATE = {"server", "address", "round"}
NEW_REPLICAS = {"db-c", "db-d"}


@pytest.fixture(scope="module", params=Phase)
def program(request: pytest.FixtureRequest) -> Program:
    """The program in each phase; the archive command is the one key that is sent only if it is configured."""
    before = list(Phase)[: list(Phase).index(request.param)]
    finished = {"phase": before[-1].value, "round": 1} if before else None
    postgres = {"archiveCommand": "cp %p /srv/archive/17/%f"}
    return declare(config(), finished=finished, phase=request.param.value, postgres=postgres)


def states(program: Program) -> Iterator[tuple[Verb, dict[str, Any]]]:
    for step in program.steps.values():
        yield Verb(str(step.inputs["create"]).rsplit(maxsplit=1)[-1]), step.stdin


def read_by(verb: Verb) -> tuple[set[str], set[str]]:
    """The keys that a verb's module takes from `desired`: those that must be there, and those that may."""
    must: set[str] = set()
    may: set[str] = set()
    for module in (verb.value.replace("-", "_"), *HELPERS.get(verb, ())):
        for node in ast.walk(ast.parse((PROJECT / "agent" / f"{module}.py").read_text())):
            match node:
                case ast.Subscript(value=ast.Name("desired"), slice=ast.Constant(str(key))):
                    must.add(key)
                case ast.Call(func=ast.Attribute(ast.Name("desired"), "get"), args=[ast.Constant(str(key)), *_]):
                    may.add(key)
    return must, may


def test_every_key_that_a_verb_reads_is_sent_and_no_other(program: Program) -> None:
    """A key renamed on one side is a KeyError on a server, in the window; one that nobody reads promises what is not done."""
    sent: dict[Verb, set[str]] = {}
    for verb, state in states(program):
        if state["server"] in NEW_REPLICAS and verb is Verb.CREDENTIALS:  # they own no role, so no cluster is asked
            assert state.keys() == {"password", "owns_role", "replication", *EVERY_STATE}
            continue
        sent.setdefault(verb, set()).update(state)
    for verb, keys in sent.items():
        must, may = read_by(verb)
        assert must <= keys, verb
        assert keys <= must | may | EVERY_STATE, verb
    assert sent.keys() >= {Verb.ANNOUNCE, Verb.CLIENT_GATE, Verb.UPGRADE_TARGET, Verb.HOSTS_FILE, Verb.FINISH}


def test_the_reading_of_keys_finds_them() -> None:
    """A reader that found nothing would find nothing missing."""
    must, may = read_by(Verb.UPGRADE_TARGET)
    assert {"database", "newPostgres", "limits"} <= must
    assert "archiveCommand" in may


def test_both_sides_of_readiness_get_what_their_side_reads() -> None:
    """The two sides read different keys: together they could have all, and each of them lack one."""
    ready = {state["side"]: state.keys() for verb, state in states(declare(config())) if verb is Verb.READY}
    common = {"phase", "side", "postgres", "preflight", *EVERY_STATE}
    assert ready["old primary"] == common | {
        "standbys",
        "lagBytes",
        "lagSeconds",
        "otherSide",
        "jobs",
        "leaveOut",
        "newVersion",
    }
    assert ready["DB_A"] == common | {"newPostgres", "transferMode", "jobs", "lagSeconds", "upgradeSeconds"}


def test_states_are_of_the_shared_vocabulary(program: Program) -> None:
    """A state that the agent does not know is a ValueError on a server."""
    vocabulary = {"phase": Phase, "gate": Gate, "database": Target, "hosts": Hosts}
    for _, state in states(program):
        for key in state.keys() & vocabulary.keys():
            vocabulary[key](state[key])
        for wanted in state.get("tasks", {}).values():
            Tasks(wanted)
        assert state.get("side", "DB_A") in ("DB_A", "old primary")
        for peer in (state.get("otherSide"), state.get("primary"), state.get("target")):
            assert peer is None or peer.keys() == {"server", "address", "port"}


def test_the_agent_makes_a_cluster_of_every_one_that_it_is_sent(program: Program) -> None:
    """The agent's layouts and the settings' are two lists."""
    versions = {
        from_desired(state[key]).version
        for _, state in states(program)
        for key in ("postgres", "newPostgres")
        if key in state
    }
    assert versions == {15, 17}


def test_places_of_ones_own_reach_the_agent() -> None:
    """Data or a unit that lies elsewhere than the layout says, and is not passed on, is not found; or another one is."""
    places = {"bin": "/opt/pg/bin", "data": "/srv/pg", "config": "/srv/pg/etc", "unit": "pg.service"}
    program = declare(config(), postgres={"layout": "rhel", "port": 5433, "superuser": "root", "old": places})
    cluster = from_desired(program.steps["db1-client-gate"].stdin["postgres"])
    assert {key: getattr(cluster, key) for key in places} == places
    assert (cluster.port, cluster.superuser, cluster.layout) == (5433, "root", "rhel")
    new = from_desired(program.steps["db-a-database"].stdin["newPostgres"])
    assert (new.data, new.unit) == ("/var/lib/pgsql/17/data", "postgresql-17.service")


def test_the_agent_reads_db_a_from_its_desired_state(program: Program, tmp_path: Path) -> None:
    """Limits and modes that arrive as another type, or in another place, show only once the base backup is over."""
    desired = json.loads(program.steps["db-a-database"].inputs["stdin"])
    for key in ("postgres", "newPostgres"):
        cluster = from_desired(desired[key])
        for name in ("postgres", "pg_basebackup", "pg_controldata", "psql", "pg_upgrade", "initdb", "vacuumdb"):
            file = tmp_path / cluster.program(name).lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    target = read_target(desired, Server(tmp_path))
    limits = program.settings.limits
    assert target.name == "db-a"
    assert (target.old.cluster.version, target.new.cluster.version) == (15, 17)
    assert (target.primary.name, target.primary.address) == ("db1", "10.77.0.11")
    assert (target.transfer_mode, target.jobs) == ("link", 2)
    assert (target.limits.replay, target.limits.upgrade) == (limits.replay_seconds, limits.upgrade_seconds)
    assert (target.limits.base_backup, target.limits.stream) == (limits.base_backup_seconds, limits.stream_seconds)
