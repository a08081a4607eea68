"""The rules of a step, tried with the real engine over the stand-in plugins."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.conftest import Project, recorded, state_text, write_program
from tests.plugins.simulated import Answer, Servers

pytestmark = pytest.mark.engine


def test_a_preview_shows_the_desired_state_as_a_json_diff(project: Project, servers: Servers) -> None:
    """The reviewer reads what each server will be told; the connection, which is secret as a whole, says nothing."""
    stack = project('step("hosts", {"names": {"db1.internal.ln": config.require("to")}, "server": "web1"})')
    stack.configure({"tiny:to": "10.0.0.12"})
    stack.up().checked()
    stack.configure({"tiny:to": "10.0.0.14"})
    shown = stack.preview().checked().stdout
    assert '~ db1.internal.ln: "10.0.0.12" => "10.0.0.14"' in shown
    assert "~ stdin: (json) {" in shown
    assert "~ 1 to update" in shown
    assert len(servers.asked) == 1, "a preview ran something"


def test_a_failed_create_is_not_recorded_and_a_failed_update_keeps_its_old_inputs(
    project: Project, servers: Servers
) -> None:
    """`up` again must repair: so what failed must be tried again, with nothing in the state that says it was done."""
    stack = project('step("gate", {"gate": config.require("gate")})')
    servers.answer = lambda _: Answer(stderr=b"expected no prepared transaction, found 1\n", exit=1)
    stack.configure({"tiny:gate": "open"})
    failed = stack.up()
    assert failed.exit != 0
    assert "Process exited with status 1" in failed.said
    assert "expected no prepared transaction, found 1" in failed.said
    assert recorded(stack, "gate") is None

    servers.answer = lambda _: Answer(stdout=b"{}\n")
    stack.up().checked()
    servers.answer = lambda _: Answer(exit=1)
    stack.configure({"tiny:gate": "sealed"})
    assert stack.up().exit != 0
    kept = recorded(stack, "gate")
    assert kept is not None
    assert json.loads(kept["inputs"]["stdin"]) == {"gate": "open"}

    servers.answer = lambda _: Answer(stdout=b"{}\n")
    stack.up().checked()
    assert [json.loads(asked.stdin)["gate"] for asked in servers.asked] == ["open", "open", "sealed", "sealed"]


def test_what_follows_a_failure_does_not_run_and_going_back_may_turn_the_order_round(
    project: Project, servers: Servers
) -> None:
    """The order of a phase is the program's alone, whatever the state holds."""
    stack = project(
        """
        names = config.require("order").split(",")
        last = []
        for name in names:
            last = [step(name, {"order": names}, after=last)]
        """
    )
    stack.configure({"tiny:order": "seal,hosts,open"})
    stack.up().checked()
    assert [asked.host for asked in servers.asked] == ["server1"] * 3
    servers.asked.clear()
    servers.answer = lambda asked: Answer(exit=len(servers.asked) // 2)
    stack.configure({"tiny:order": "open,hosts,seal"})
    assert stack.up().exit != 0
    assert len(servers.asked) == 2, "the third step ran, though the second failed"


def test_a_changed_trigger_replaces_and_a_change_of_anything_else_updates(project: Project, servers: Servers) -> None:
    """A replacement runs `create` and then deletes: on a step it would be an act nobody asked for."""
    program = """
        remote.CopyToRemote(
            "agent", connection=remote.ConnectionArgs(host=config.require("host")), triggers=[config.require("trigger")],
            source=pulumi.FileAsset(config.require("file")), remote_path="/tmp/agent.pyz",
        )
        step("install", {}, host=config.require("host"))
        """
    stack = project(program)
    (stack.project / "agent.pyz").write_text("one")
    stack.configure({"tiny:host": "db1", "tiny:trigger": "a", "tiny:file": "agent.pyz"})
    stack.up().checked()
    copied = [asked.content for asked in servers.asked if asked.content is not None]
    assert copied == [str(stack.project / "agent.pyz")], "a relative path starts at the program"

    stack.configure({"tiny:host": "db2"})
    servers.asked.clear()
    assert "2 updated" in stack.up().checked().stdout
    assert servers.commands() == ["db2: agent"], "a connection that changes alone copies nothing"

    stack.configure({"tiny:trigger": "b"})
    servers.asked.clear()
    assert "1 replaced" in stack.up().checked().stdout
    assert servers.commands() == ["db2: /tmp/agent.pyz"]

    (stack.project / "agent.pyz").write_text("two")
    servers.asked.clear()
    assert "1 updated" in stack.up().checked().stdout
    assert servers.commands() == ["db2: /tmp/agent.pyz"]


def test_deletes_come_last_and_only_if_nothing_failed(project: Project, servers: Servers) -> None:
    """Nothing on the way back may rest on a delete."""
    stack = project('step("old", {}, delete="undo"); step("gate", {})')
    stack.up().checked()
    servers.asked.clear()
    servers.answer = lambda asked: Answer(exit=1 if asked.stdin else 0)
    write_program(stack, 'step("gate", {"gate": "open"})')
    assert stack.up().exit != 0
    assert [asked.command for asked in servers.asked] == ["agent"]
    servers.answer = lambda _: Answer()
    stack.up().checked()
    assert [asked.command for asked in servers.asked] == ["agent", "agent", "undo"]


def test_a_secret_stays_in_its_step(project: Project, servers: Servers) -> None:
    """A password must be in no output, in no log, and in no file that the engine writes."""
    stack = project(
        """
        made = step("password", config.require_secret("password").apply(lambda p: json.dumps({"password": p})))
        pulumi.export("facts", made.stdout)
        """
    )
    servers.answer = lambda _: Answer(stdout=b'{"changed": ["the password of pgleap"]}\n', stderr=b"setting\n")
    stack.config_set("tiny:password", "hunter-two", secret=True)
    previewed, done = stack.preview().checked(), stack.up().checked()
    assert json.loads(servers.asked[0].stdin) == {"password": "hunter-two"}
    assert "[secret]" in previewed.stdout
    for text in (previewed.said, done.said, state_text(stack)):
        assert "hunter-two" not in text
    assert "setting" in done.stdout
    assert stack.outputs() == {"facts": '{"changed": ["the password of pgleap"]}'}


def test_a_followers_input_is_unknown_in_the_preview_and_runs_it_again(project: Project, servers: Servers) -> None:
    """Why no step is fed another's facts: the preview can no longer say what it will be told."""
    stack = project('step("second", step("first", {"n": config.require("n")}).stdout)')
    stack.configure({"tiny:n": "1"})
    stack.up().checked()
    stack.configure({"tiny:n": "2"})
    shown = stack.preview().checked().stdout
    assert "~ 2 to update" in shown
    assert "[unknown]" in shown


def test_progress_is_shown_while_a_step_runs_and_facts_are_not(project: Project, servers: Servers) -> None:
    """An operator in the window sees what is happening, not JSON."""
    stack = project('step("upgrade", {})')
    servers.answer = lambda _: Answer(stdout=b'{"seconds": 14}\n', stderr=b"pg_upgrade: restoring schemas\n")
    heard: list[str] = []
    stack.up(on_line=heard.append).checked()
    assert any("upgrade creating" in line and "pg_upgrade: restoring schemas" in line for line in heard)
    assert not any("seconds" in line for line in heard)


def test_the_program_is_run_as_the_plain_command_line_runs_it(project: Project) -> None:
    """Edits are seen, modules beside it are found, config is there, and failures read as they do in production."""
    stack = project('import beside; print("said", beside.WORD); print(config.require_object("list"))')
    (stack.project / "beside.py").write_text('WORD = "one"\n')
    stack.configure({"tiny:list": [1, {"a": "b"}]})
    first = stack.preview(diff=False).checked().said
    assert "said one" in first
    assert "[1, {'a': 'b'}]" in first
    (stack.project / "beside.py").write_text('import sys\nWORD = "two"\nprint("wrong", file=sys.stderr)\n')
    second = stack.preview(diff=False).checked().said
    assert "said two" in second
    assert "wrong" in second

    write_program(stack, 'raise pulumi.RunError("pgleap:phase: expected one of prepare, readonly")')
    refused = stack.preview(diff=False)
    assert refused.exit != 0
    assert "error: pgleap:phase: expected one of prepare, readonly" in refused.said
    assert "Traceback" not in refused.said

    write_program(stack, "1 / 0")
    broken = stack.preview(diff=False)
    assert broken.exit != 0
    assert "Program failed with an unhandled exception" in broken.said
    assert "ZeroDivisionError" in broken.said
    assert "runpy" not in broken.said, "the traceback starts at the program's own first line"


def test_an_engine_that_is_killed_leaves_a_lock_and_the_next_up_goes_on(project: Project, servers: Servers) -> None:
    """The plugins live on; the state must take up where it was, once its lock was taken away."""
    stack = project('first = step("first", {}); step("second", {}, after=[first])')
    servers.answer = lambda _: Answer(seconds=60 if len(servers.asked) == 2 else 0)
    engine = stack.start("up", "--yes", "--skip-preview")
    wait_for(lambda: len(servers.asked) == 2)
    engine.send_signal(signal.SIGKILL)
    engine.communicate()
    wait_for(lambda: len(servers.abandoned) == 1)
    assert stack.up().exit != 0, "a lock was expected"
    stack.cancel().checked()
    servers.answer = lambda _: Answer()
    stack.up().checked()
    assert servers.commands() == ["server1: agent"] * 3, "the first step was recorded, the second was not"


def test_the_plugins_serve_one_engine_after_another_from_any_folder(project: Project, servers: Servers) -> None:
    """A local command and a relative path start where the program is, not where the plugins were started."""
    stack = project('pulumi.export("where", local.Command("where", create="pwd").stdout)')
    stack.up().checked()
    assert Path(stack.outputs()["where"]) == stack.project
    assert servers.asked == []


def wait_for(happened: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "expected it within the time, found it did not happen"
        time.sleep(0.02)


def test_the_state_is_one_file_that_is_replaced_as_a_whole(project: Project) -> None:
    """A program that reads its stack's outputs while the engine writes an .attrs anew: "failed to load checkpoint: EOF", once in a while."""
    stack = project('step("hosts", {"server": "web1"})')
    stack.up().checked()
    kept = [file.name for file in stack.backend.rglob("*") if file.is_file()]
    assert f"{stack.stack}.json" in kept
    assert [name for name in kept if name.endswith(".attrs")] == []
