"""Create, Update, Delete of the stand-in command plugin, each spoken to as the engine does."""

import time
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, provider_pb2

from rehearsal.plugins.inputs import COPY_TO_REMOTE, LOCAL_COMMAND, REMOTE_COMMAND
from rehearsal.plugins.values import Asset, Secret, Unknown, Values, encode, secret
from tests.plugins.conftest import URN, Plugin
from tests.plugins.simulated import Answer, Asked, Servers

CONNECTION: Values = {"connection": Secret({"host": "db1", "user": "deploy"})}
STEP: Values = {**CONNECTION, "create": "make", "update": "change", "stdin": "{}", "addPreviousOutputInEnv": False}
STATE: Values = {**STEP, "stdout": "before", "stderr": "noise"}


def failure(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    """What the engine would show."""
    assert isinstance(error.value, grpc.Call)
    return str(error.value.details())


def test_create_runs_create_with_the_standard_input(plugin: Plugin) -> None:
    """A desired state that does not arrive makes the agent decide on nothing."""
    plugin.servers.answer = lambda _: Answer(stdout=b'{"changed": []}\n', stderr=b"looking\n")
    outputs = plugin.create(STEP)
    assert plugin.servers.asked == [Asked("db1", "make", "{}")]
    assert outputs == {**STEP, "stdout": '{"changed": []}', "stderr": "looking"}


def test_create_without_a_command_runs_nothing(plugin: Plugin) -> None:
    """A resource that only deletes must not touch the server when it is made."""
    outputs = plugin.create({**CONNECTION, "delete": "undo"})
    assert plugin.servers.asked == []
    assert outputs["stdout"] == ""


def test_update_runs_update_and_create_only_where_there_is_none(plugin: Plugin) -> None:
    """Taken the other way round, a step's second run would be lost."""
    plugin.update(STATE, {**STEP, "stdin": "{1}"})
    plugin.update(STATE, {name: value for name, value in STEP.items() if name != "update"})
    plugin.update(STATE, CONNECTION)
    assert plugin.servers.commands() == ["db1: change", "db1: make"]
    assert plugin.servers.asked[0].stdin == "{1}"


def test_delete_runs_delete_from_the_state_and_nothing_else(plugin: Plugin) -> None:
    """A step without `delete` must not reach for a server that is gone."""
    plugin.delete(STATE)
    assert plugin.servers.asked == []
    plugin.delete({**STATE, "delete": "undo"})
    assert plugin.servers.commands() == ["db1: undo"]


def test_a_failure_says_status_command_and_both_streams(plugin: Plugin) -> None:
    """The refusal that the agent prints must reach the operator, whatever `logging` says."""
    plugin.servers.answer = lambda _: Answer(b"out\n", b"expected 15, found 14\n", exit=1)
    with pytest.raises(grpc.RpcError) as error:
        plugin.create({**STEP, "create": 'agent "x"', "logging": "none"})
    assert failure(error) == ('Process exited with status 1: running "agent \\"x\\"":\nexpected 15, found 14\nout\n')


def test_a_preview_runs_nothing_and_calls_the_outputs_unknown(plugin: Plugin) -> None:
    """An output that a preview takes from the state would let a follower be shown as unchanged."""
    assert plugin.create(STEP, preview=True) == {**STEP, "stdout": Unknown(), "stderr": Unknown()}
    changed: Values = {**STEP, "stdin": "{1}"}
    assert plugin.update(STATE, changed, preview=True) == {**changed, "stdout": Unknown(), "stderr": Unknown()}
    assert plugin.update(STATE, {**STEP, "stdin": Unknown()}, preview=True)["stdout"] == Unknown()
    assert plugin.update(STATE, STEP, preview=True) == STATE
    assert plugin.servers.asked == []


def test_an_input_that_is_new_leaves_the_outputs_known_in_a_preview(plugin: Plugin) -> None:
    """So it is in the real plugin: only inputs that were there before count."""
    assert plugin.update(STATE, {**STEP, "logging": "none"}, preview=True)["stdout"] == "before"


@pytest.mark.parametrize(
    ("logging", "expected"),
    [
        (None, ["err", "out"]),
        ("stdoutAndStderr", ["err", "out"]),
        ("stdout", ["out"]),
        ("stderr", ["err"]),
        ("none", []),
    ],
)
def test_logging_streams_what_it_names(plugin: Plugin, logging: str | None, expected: list[str]) -> None:
    """Facts on stdout belong in the state, not over the operator's progress lines."""
    plugin.servers.answer = lambda _: Answer(b"out\n", b"err\n")
    plugin.create({**STEP, "logging": logging} if logging else STEP)
    assert plugin.engine.lines() == expected
    assert all(said.ephemeral and said.urn == f"{URN}{REMOTE_COMMAND}::step" for said in plugin.engine.heard)


def test_lines_are_cut_as_the_real_plugin_cuts_them(plugin: Plugin) -> None:
    """A progress line that never ends is still shown; a carriage return is no part of a line."""
    plugin.servers.answer = lambda _: Answer(stderr=b"one\r\n\ntwo")
    assert plugin.create(STEP)["stderr"] == "one\r\n\ntwo"
    assert plugin.engine.lines() == ["one", "", "two"]


def test_a_logged_line_of_64_kib_fails_the_step(plugin: Plugin) -> None:
    """The real plugin hangs for ever there: a rehearsal that goes on would hide it."""
    plugin.servers.answer = lambda _: Answer(stdout=b"x" * 65536 + b"\n")
    with pytest.raises(grpc.RpcError) as error:
        plugin.create(STEP)
    assert "hangs for ever" in failure(error)
    assert len(str(plugin.create({**STEP, "logging": "stderr"})["stdout"])) == 65536


def test_an_input_that_is_secret_makes_no_output_secret(plugin: Plugin) -> None:
    """So it is in the real plugin: a step that is handed a password must not print it."""
    outputs = plugin.create({**STEP, "stdin": Secret("p")})
    assert outputs["stdin"] == Secret("p")
    assert outputs["connection"] == secret(STEP["connection"])
    assert outputs["stdout"] == "p"


def test_output_that_is_no_utf_8_fails_the_step(plugin: Plugin) -> None:
    """The real plugin fails after it ran; passed on with a replacement, it would go unnoticed."""
    plugin.servers.answer = lambda _: Answer(stdout=b"\xff\n")
    with pytest.raises(grpc.RpcError) as error:
        plugin.create(STEP)
    assert "invalid UTF-8" in failure(error)


def test_previous_output_is_sent_unless_that_is_turned_off(plugin: Plugin) -> None:
    """It is on by default, and a server that refuses it makes two warnings at every step."""
    asking: Values = {name: value for name, value in STEP.items() if name != "addPreviousOutputInEnv"}
    plugin.update(STATE, asking)
    assert plugin.servers.asked[0].environment == {}
    assert [said.severity for said in plugin.engine.heard[:2]] == [engine_pb2.WARNING] * 2
    assert "Unable to set 'PULUMI_COMMAND_STDOUT'" in plugin.engine.lines()[0]
    plugin.servers.accepted = ("PULUMI_COMMAND_STDOUT", "PULUMI_COMMAND_STDERR")
    plugin.update(STATE, asking)
    plugin.update(STATE, STEP)
    assert plugin.servers.asked[1].environment == {"PULUMI_COMMAND_STDOUT": "before", "PULUMI_COMMAND_STDERR": "noise"}
    assert plugin.servers.asked[2].environment == {}


def test_a_variable_that_the_server_refuses_fails_the_step(plugin: Plugin) -> None:
    """Left out in silence, the command would run with another meaning."""
    with pytest.raises(grpc.RpcError) as error:
        plugin.create({**STEP, "environment": {"PGPORT": "5433"}})
    assert failure(error) == 'could not set environment variable "PGPORT": ssh: setenv failed'
    assert plugin.servers.asked == []


def test_changed_triggers_are_a_plain_change_inside_and_a_replacement_as_a_whole(plugin: Plugin) -> None:
    """Inside the list it is the SDK's `replace_on_changes` that replaces; a stand-in that did it alone would hide that."""
    update, replace = provider_pb2.PropertyDiff.UPDATE, provider_pb2.PropertyDiff.ADD_REPLACE
    inside = plugin.diff({**STEP, "triggers": ["a"]}, {**STEP, "triggers": ["b"]})
    assert {path: found.kind for path, found in inside.detailedDiff.items()} == {"triggers[0]": update}
    assert list(inside.replaces) == []
    whole = plugin.diff(STEP, {**STEP, "triggers": ["b"]})
    assert {path: found.kind for path, found in whole.detailedDiff.items()} == {"triggers": replace}
    assert list(whole.replaces) == ["triggers"]


def test_everything_else_is_an_update(plugin: Plugin) -> None:
    """A step that is replaced runs `create` on a server where it ran before, and later a delete."""
    new: Values = {**STEP, "stdin": "2", "create": "c2", "update": "u2", "connection": Secret({"host": "db2"})}
    response = plugin.diff(STEP, new)
    assert sorted(response.diffs) == ["connection", "create", "stdin", "update"]
    assert list(response.replaces) == []
    assert plugin.diff(STEP, STEP).changes == provider_pb2.DiffResponse.DIFF_NONE


COPY: Values = {**CONNECTION, "source": Asset(False, "h1", path="/agent.pyz"), "remotePath": "/tmp/agent.pyz"}


def test_a_copy_happens_when_its_content_or_place_changes(plugin: Plugin) -> None:
    """A new agent must arrive."""
    plugin.create(COPY, COPY_TO_REMOTE)
    plugin.update(COPY, {**COPY, "source": Asset(False, "h2", path="/agent.pyz")}, COPY_TO_REMOTE)
    plugin.update(COPY, {**COPY, "remotePath": "/tmp/other.pyz"}, COPY_TO_REMOTE)
    assert plugin.servers.commands() == ["db1: /tmp/agent.pyz", "db1: /tmp/agent.pyz", "db1: /tmp/other.pyz"]
    assert plugin.servers.asked[0].content == "/agent.pyz"


def test_a_connection_that_changes_alone_copies_nothing(plugin: Plugin) -> None:
    """So it is in the real plugin, and why a copy needs triggers on address and host key."""
    plugin.update(COPY, {**COPY, "connection": Secret({"host": "db2"})}, COPY_TO_REMOTE)
    assert plugin.servers.asked == []


def test_a_text_is_copied_as_its_bytes(plugin: Plugin) -> None:
    """The engine may hand over a text where the program named none of its files."""
    plugin.create({**COPY, "source": Asset(False, "h", text="größe")}, COPY_TO_REMOTE)
    assert plugin.servers.asked[0].content == "größe".encode()


def test_a_local_command_runs_here(plugin: Plugin) -> None:
    """The load balancer's step runs on the operator's machine."""
    outputs = plugin.create(
        {"create": "cat; echo $A; echo e >&2", "stdin": "in\n", "environment": {"A": "b"}}, LOCAL_COMMAND
    )
    assert (outputs["stdout"], outputs["stderr"]) == ("in\nb", "e")
    with pytest.raises(grpc.RpcError) as error:
        plugin.create({"create": "echo no; exit 3"}, LOCAL_COMMAND)
    assert failure(error) == 'exit status 3: running "echo no; exit 3":\nno\n'


def test_cancelling_ends_a_local_command(plugin: Plugin) -> None:
    """An operator's Ctrl-C must not wait for it."""
    call = plugin.stub.Create.future(
        provider_pb2.CreateRequest(urn=f"{URN}{LOCAL_COMMAND}::step", properties=encode({"create": "echo x; sleep 60"}))
    )
    while not plugin.engine.heard:
        time.sleep(0.01)
    plugin.stub.Cancel(empty_pb2.Empty())
    with pytest.raises(grpc.RpcError) as error:
        call.result(timeout=20)
    assert "signal: killed" in failure(error)


def test_an_engine_that_goes_away_leaves_no_command_waiting(servers: Servers, plugin: Plugin) -> None:
    """The plugins outlive the engine here: what it asked for must end with it, as the real plugin does."""
    servers.answer = lambda _: Answer(seconds=60)
    call: Any = plugin.stub.Create.future(
        provider_pb2.CreateRequest(urn=f"{URN}{REMOTE_COMMAND}::step", properties=encode(STEP))
    )
    while not servers.asked:
        time.sleep(0.01)
    call.cancel()
    deadline = time.monotonic() + 10
    while not servers.abandoned and time.monotonic() < deadline:
        time.sleep(0.01)
    assert servers.abandoned == servers.asked


def test_two_hundred_steps_wait_at_the_same_time(servers: Servers, plugin: Plugin) -> None:
    """With a thread each, or one after the other, a fleet of 200 servers would take minutes."""
    servers.answer = lambda _: Answer(seconds=1)
    began = time.monotonic()
    calls = [
        plugin.stub.Create.future(
            provider_pb2.CreateRequest(urn=f"{URN}{REMOTE_COMMAND}::{number}", properties=encode(STEP))
        )
        for number in range(200)
    ]
    for call in calls:
        call.result()
    assert time.monotonic() - began < 20
