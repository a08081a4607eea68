"""What the program tells the engine of every step, with Pulumi's mocks: no engine, no server, milliseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from agent.states import MOVES, Phase, Verb
from components.agent_program import INSTALLED
from components.desired import Desire
from components.desired_preflight import for_ready
from components.order import ORDER, Part
from components.phases import Lead
from components.settings import Role, Server, Settings
from scripts.on_servers import Bastion, Ssh
from tests.components.declared import COMMAND, COPY, OTHERS, TASKS, Program, RefusedError, declare
from tests.unit.example_config import config

# Every move there is, from the phase that the stack finished last. From cutover one goes back only as long as it is
# unfinished: to the stack, that is staying in upgrade.
MOVES_THERE_ARE = [
    (None, Phase.PREPARE),
    *((before, to) for before, moves in MOVES.items() for to in moves),
    (Phase.UPGRADE, Phase.UPGRADE),
]


def moved(before: Phase | None, to: Phase, raw: Mapping[str, Any] | None = None, **more: Any) -> Program:
    """The program on the way from a finished phase to another one, in round 2."""
    finished = {"phase": before.value, "round": 1} if before else None
    return declare(raw or config(), finished=finished, phase=to.value, round="2", **more)


@pytest.fixture(scope="module", params=MOVES_THERE_ARE, ids=lambda move: f"{move[0] or 'new'}-{move[1]}")
def program(request: pytest.FixtureRequest) -> Program:
    """The program on each way that there is."""
    return moved(*request.param)


def test_a_step_is_an_update_that_a_preview_shows_and_never_a_replacement(program: Program) -> None:
    """A trigger would replace the step, a delete run on a server that is gone, an environment be refused by sshd."""
    for step in program.steps.values():
        assert step.inputs.keys() == {"connection", "create", "update", "stdin", "logging", "addPreviousOutputInEnv"}
        assert step.inputs["create"] == step.inputs["update"], step.name
        assert step.inputs["addPreviousOutputInEnv"] is False
        assert step.inputs["logging"] == "stderr"


def test_a_step_runs_the_installed_agent_and_only_the_installation_the_delivered_one(program: Program) -> None:
    """A step that ran the delivered file would be another command with every new agent, and run again."""
    delivered = {copy.inputs["remotePath"] for copy in program.copies.values()}
    for step in program.steps.values():
        sudo, path, verb = str(step.inputs["create"]).rsplit(maxsplit=2)
        assert sudo == "sudo -n /usr/bin/env python3 -I -S"
        assert path in delivered if Verb(verb) is Verb.INSTALL else path == INSTALLED
    assert len(delivered) == 1


def expected(program: Program) -> dict[str, dict[str, Any]]:
    """What each step is to be asked for, by the step's name; the installations, which hold no settings, left out."""
    settings, desire = program.settings, Desire(program.settings)
    primary, target = settings.primary, settings.target
    others = (*settings.drained, *settings.workers)
    found: dict[str, dict[str, Any]] = {
        f"{primary.name}-announce": desire.move("old primary"),
        f"{target.name}-announce": desire.move("DB_A"),
        f"{primary.name}-ready": {**desire.ready("old primary"), "preflight": for_ready(desire, primary)},
        f"{target.name}-ready": {**desire.ready("DB_A"), "preflight": for_ready(desire, target)},
        f"{primary.name}-finish": desire.finish("old primary"),
        f"{target.name}-finish": desire.finish("DB_A"),
        f"{primary.name}-client-gate": desire.old_primary_gate(),
        f"{target.name}-client-gate": desire.target_gate(),
        f"{target.name}-database": desire.upgrade_target(),
        f"{primary.name}-reverse-replication": desire.reverse_replication(),
    }
    for server in (primary, target):
        secret = {"password": "correct horse", "owns_role": server is primary, "postgres": desire.old_postgres()}
        secret |= desire.functions() if server is primary else {}
        found[f"{server.name}-credentials"] = secret
    groups: list[tuple[str, tuple[Server, ...], Lead]] = [
        *((server.name, (server,), desire.parts.online_hosts) for server in settings.online),
        ("online", settings.online, desire.parts.online_hosts),
        ("others", others, desire.parts.other_hosts),
    ]
    for group, clients, lead in groups:
        for server in clients if group != "others" else ():
            found[f"{server.name}-hosts-file"] = desire.hosts_file(server, lead)
        for replica in settings.replicas:
            found[f"{replica.name}-sessions-{group}"] = desire.sessions(replica, group, clients, lead)
    for replica in settings.replicas:
        found[f"{replica.name}-access"] = desire.access()
    return found | expected_after_cutover(settings, desire)


def expected_after_cutover(settings: Settings, desire: Desire) -> dict[str, dict[str, Any]]:
    """What is asked for from `replicas` on, and from `retire` on."""
    found: dict[str, dict[str, Any]] = {}
    if stands(Part.NEW_REPLICA_SESSIONS, desire.phase):
        found[f"{settings.target.name}-synchronous-replication"] = desire.synchronous_replication()
        for replica in settings.new_replicas:
            found[f"{replica.name}-sessions-all"] = desire.new_replica_sessions(replica)
    if desire.parts.new_replicas:
        found[f"{settings.target.name}-replication"] = desire.replication()
        for replica in settings.new_replicas:
            streams_as = {"user": "replicator", "password": "battery staple"}
            secret = {"password": "correct horse", "owns_role": False, "replication": streams_as}
            found[f"{replica.name}-credentials"] = secret
            found[f"{replica.name}-replica"] = desire.new_replica()
    if not desire.parts.old_servers_run:
        for server in settings.old_databases:
            found[f"{server.name}-unused"] = desire.unused()
            found[f"{server.name}-retirement"] = desire.retirement()
    return found


def stands(part: Part, phase: Phase) -> bool:
    return any(part in stage for stage in ORDER[phase])


def has_agent(server: Server, program: Program) -> bool:
    """A step of the program's own brings it. Before `cutover` a new replica need not even exist; drained servers and workers are asked by
    steps for many, which bring the agent along."""
    if server.role in (Role.DRAINED, Role.WORKER):
        return False
    return server.role is not Role.NEW_REPLICA or stands(Part.NEW_REPLICA_SESSIONS, program.settings.phase)


def test_every_step_is_asked_for_what_the_table_says(program: Program) -> None:
    """A part that is built from another phase, server or lead than the table's would still look well in a preview."""
    wanted = expected(program)
    agents = {f"{name}-agent" for name, server in program.settings.servers.items() if has_agent(server, program)}
    assert program.steps.keys() == wanted.keys() | agents
    for name, step in program.steps.items():
        state = step.stdin
        server = program.settings.servers[state.pop("server")]
        assert name.startswith(f"{server.name}-")
        assert state.pop("address") == server.address
        # The installation again in every round would be another login before writes are back.
        assert state.pop("round", None) == (None if name in agents else 2)
        assert step.inputs["connection"]["host"] == server.address
        if name in agents:
            assert len(state.pop("sha256")) == 64
        assert state == wanted.get(name, {})


def test_the_other_servers_are_asked_in_one_step_for_what_the_table_says(program: Program) -> None:
    """A server that the step does not name keeps names that lead to a database which refuses it."""
    settings, desire = program.settings, Desire(program.settings)
    for server in (*settings.drained, *settings.workers):
        who = {"server": server.name, "address": server.address, "round": 2}
        assert program.asked(OTHERS)[server.name] == {**who, **desire.hosts_file(server, desire.parts.other_hosts)}
        if server in settings.workers:
            assert program.asked(TASKS)[server.name] == {**who, **desire.tasks(server)}
    assert program.asked(OTHERS).keys() == {server.name for server in (*settings.drained, *settings.workers)}
    assert program.asked(TASKS).keys() == {server.name for server in settings.workers}
    verbs = {OTHERS: "hosts-file", TASKS: "offline-tasks"}
    for name, told in program.local_steps.items():
        assert told.stdin["verb"] == verbs[name]
        assert all(host["hostKey"] == settings.servers[one].host_key for one, host in told.stdin["servers"].items())


def test_the_way_to_the_other_servers_is_as_the_settings_have_it(tmp_path: Path) -> None:
    """Another user, port, key or bastion than the plugin's connections have would leave these servers behind, or trust a stranger."""
    raw = config()
    raw["ssh"] = {**raw["ssh"], "port": 2222, "privateKeyFile": str(tmp_path / "key")}
    raw["ssh"]["bastion"] = {**raw["ssh"]["bastion"], "user": "jump", "port": 2200}
    (tmp_path / "key").touch()
    program = moved(None, Phase.PREPARE, raw)
    ours, theirs = program.settings.ssh, Ssh.of(program.local_steps[OTHERS].stdin)
    assert (theirs.user, theirs.port, theirs.private_key_file) == (ours.user, 2222, tmp_path / "key")
    assert ours.bastion is not None
    assert theirs.bastion == Bastion(ours.bastion.address, ours.bastion.host_key, "jump", 2200)


def test_names_and_parents_never_change_with_the_phase(program: Program) -> None:
    """The engine deletes what it no longer finds, and creates what it finds under another name. From `cutover` on there are more."""
    first = {(found.urn, found.parent) for found in moved(None, Phase.PREPARE).declared}
    mine = {(found.urn, found.parent) for found in program.declared}
    assert first <= mine
    if not stands(Part.NEW_REPLICA_SESSIONS, program.settings.phase):
        assert first == mine


def test_only_the_credentials_are_secret_and_only_they_hold_the_password(program: Program) -> None:
    """A secret in a desired state turns it into [secret] in the preview; a password outside of one is shown."""
    credentials = {"db1-credentials", "db-a-credentials", "db-c-credentials", "db-d-credentials"}
    for found in program.declared:
        if found.type not in (COMMAND, COPY):
            continue
        assert found.secret == ({"connection", "stdin"} if found.name in credentials else {"connection"})
        shown = json.dumps(found.inputs, default=str)
        holds = "correct horse" in shown or "battery staple" in shown
        assert holds == (found.name in credentials), found.name


def test_the_connection_is_as_the_settings_have_it(program: Program) -> None:
    """An unverified host key is whoever answers; a dial without limit holds the whole window up."""
    for found in (*program.steps.values(), *program.copies.values()):
        connection = dict(found.inputs["connection"])
        server = next(one for one in program.settings.servers.values() if one.address == connection["host"])
        limits = {"dialErrorLimit": 1, "perDialTimeout": 5}
        bastion = program.settings.ssh.bastion
        assert bastion is not None
        assert connection.pop("proxy") == {
            "host": bastion.address, "user": "deploy", "port": 22, "hostKey": bastion.host_key, **limits,
        }  # fmt: skip
        assert connection == {
            "host": server.address, "user": "deploy", "port": 22, "hostKey": server.host_key, **limits,
        }  # fmt: skip


def test_the_agent_is_delivered_again_for_another_address_or_host_key(program: Program) -> None:
    """A connection that changes alone copies nothing: the next step would find no agent there."""
    servers = program.settings.servers
    assert program.copies.keys() == {f"{name}-agent-file" for name in servers if has_agent(servers[name], program)}
    for name, copy in program.copies.items():
        server = program.settings.servers[name.removesuffix("-agent-file")]
        assert copy.inputs["triggers"] == [server.address, server.host_key]
        assert isinstance(copy.inputs["source"], pulumi.FileAsset)
        assert program.steps[f"{server.name}-agent"].depends_on >= {copy.urn}


@pytest.mark.parametrize("preview", [True, False])
def test_a_refused_move_registers_no_step(preview: bool) -> None:
    """A step that had begun before the refusal would leave the fleet between two phases."""
    with pytest.raises(RefusedError, match="there is no move to cutover") as refused:
        declare(config(), finished={"phase": "prepare", "round": 1}, phase="cutover", round="2", preview=preview)
    assert [found.name for found in refused.value.declared if found.type in (COMMAND, COPY)] == []


def test_a_private_key_is_in_connections_alone(tmp_path: Path) -> None:
    """A key in a desired state or a command line would be shown, and stay on the server."""
    key = tmp_path / "key"
    key.write_text("a private key")
    ssh = {**config()["ssh"], "privateKeyFile": str(key)}
    program = moved(None, Phase.PREPARE, ssh=ssh)
    for found in (*program.steps.values(), *program.copies.values()):
        connection = found.inputs["connection"]
        assert connection["privateKey"] == connection["proxy"]["privateKey"] == "a private key"
        assert "connection" in found.secret
        others = {key: value for key, value in found.inputs.items() if key != "connection"}
        assert "a private key" not in json.dumps(others, default=str)


def test_without_a_bastion_and_host_keys_the_plugin_is_given_none() -> None:
    """A bastion or key made up from defaults would lead elsewhere than the operator's own ssh does."""
    raw = config()
    raw["acceptUnknownHostKeys"] = "true"
    for server in raw["servers"].values():
        del server["hostKey"]
    program = moved(None, Phase.PREPARE, raw, ssh={"user": "deploy", "port": 2222})
    for step in program.steps.values():
        assert step.inputs["connection"].keys() == {"host", "user", "port", "dialErrorLimit", "perDialTimeout"}
        assert step.inputs["connection"]["port"] == 2222


def test_every_server_has_the_agent_before_its_first_step(program: Program) -> None:
    """Without it the first step of a new fleet fails with a message of Python's."""
    for name, step in program.steps.items():
        server = step.stdin["server"]
        if name != f"{server}-agent":
            assert f"{server}-agent" in program.waits_for(name), name
