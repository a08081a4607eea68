"""One step for many servers: what each of them is told, in which order, and what becomes of those that are not reached."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.states import Verb
from components import desired_many
from components.agent_program import agent_program
from components.desired import Desire
from components.phases import Lead
from components.settings import Settings
from scripts import fleet_ssh
from scripts.fleet_ssh import CUT_OFF, Answer, HearEach, Login, Reachable, Talk, UnreachableError
from scripts.on_servers import OTHER_AGENT, delivery_command, on_servers, verb_command
from scripts.report import Refusal
from tests.unit.example_config import config
from tests.unit.test_fleet_ssh import HOST_KEY, USER_KEY, Servers, public

AGENT = agent_program()
RUN, DELIVER = verb_command(AGENT, Verb.HOSTS_FILE), delivery_command(AGENT)
INSTALL = f"sudo -n /usr/bin/env python3 -I -S {AGENT.delivered} install"
MOVED = Answer(0, json.dumps({"changed": ["/etc/hosts: db1.internal.ln leads to 10.77.0.14"]}), "")
THERE = Answer(0, json.dumps({"changed": [], "notes": ["others edited it"]}), "")


def desired(**servers: Any) -> dict[str, Any]:
    """What the program asks for, of the example's others or of these."""
    settings = Settings.from_config({**config(), "phase": "cutover"})
    found = desired_many.hosts_files(Desire(settings), (*settings.drained, *settings.workers), Lead.DB_A)
    return {**found, "round": 3, "servers": servers or found["servers"]}


class Fleet:
    """Servers that say what a test has them say, by command; each must be told of in `answers`."""

    def __init__(self, answers: Mapping[str, Mapping[str, list[Answer]]]) -> None:
        self._answers = {
            name: {command: list(said) for command, said in each.items()} for name, each in answers.items()
        }
        self.told: dict[str, list[tuple[str, str]]] = {name: [] for name in answers}

    async def __call__(
        self, ssh: Login, servers: Mapping[str, Reachable], talk: Talk, hear: HearEach
    ) -> dict[str, Answer]:
        return {name: await talk(name, partial(self._said, name, hear)) for name in servers}

    async def _said(self, name: str, hear: HearEach, command: str, text: str) -> Answer:
        self.told[name].append((command, text))
        answer = self._answers[name][command].pop(0)
        for line in answer.error.splitlines() if answer.status is not None else ():
            hear(name, line)
        return answer


def lead(fleet: Fleet, **servers: Any) -> dict[str, Any]:
    return asyncio.run(on_servers(desired(**servers), fleet))


def test_each_server_is_told_once_what_its_own_agent_would_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that one server is not told of leads to a database that refuses it."""
    fleet = Fleet({"web3": {RUN: [MOVED]}, "worker1": {RUN: [MOVED]}, "worker2": {RUN: [THERE]}})
    facts = lead(fleet)
    assert facts == {
        "changed": ["web3", "worker1"],
        "because": "3 servers are as they are wanted, 1 of them were already",
    }
    assert capsys.readouterr().err == "worker2: others edited it\n"
    assert {name: [command for command, _ in told] for name, told in fleet.told.items()} == {
        "web3": [RUN],
        "worker1": [RUN],
        "worker2": [RUN],
    }
    names = dict.fromkeys(("db1.internal.ln", "db2.internal.ln", "db3.internal.ln"), "10.77.0.14")
    who = {"server": "web3", "address": "10.77.0.23"}
    assert json.loads(fleet.told["web3"][0][1]) == {**who, "hosts": "managed", "names": names, "round": 3}


def test_empty_lines_are_not_told_as_a_servers_own(capsys: pytest.CaptureFixture[str]) -> None:
    """`worker1:` and nothing after it looks like a message that was cut off, and pushes those that count off the screen."""
    said = "\npgleap: \n  \npgleap: tasks rest\n"
    lead(Fleet({"web3": {RUN: [Answer(0, MOVED.output, said)]}}), web3={"address": "10.77.0.23"})
    assert capsys.readouterr().err == "web3: tasks rest\n"


def test_a_reload_command_is_its_own_servers_alone() -> None:
    """One server's reload on another one restarts what is not there, and fails the step."""
    fleet = Fleet({"web3": {RUN: [MOVED]}, "web4": {RUN: [MOVED]}})
    lead(fleet, web3={"address": "10.77.0.23", "reload": "systemctl reload app"}, web4={"address": "10.77.0.24"})
    assert json.loads(fleet.told["web3"][0][1])["reload"] == "systemctl reload app"
    assert "reload" not in json.loads(fleet.told["web4"][0][1])


def test_a_server_without_this_agent_gets_it_first() -> None:
    """With another release's agent the verb would be asked for what it does not know; with none nothing would happen there for ever."""
    done = Answer(0, "", "")
    fleet = Fleet({"web3": {RUN: [Answer(OTHER_AGENT, "", ""), MOVED], DELIVER: [done], INSTALL: [done]}})
    facts = lead(fleet, web3={"address": "10.77.0.23"})
    assert facts["changed"] == ["web3"]
    commands = [command for command, _ in fleet.told["web3"]]
    assert commands == [RUN, DELIVER, INSTALL, RUN]
    assert base64.b64decode(fleet.told["web3"][1][1]) == AGENT.file.read_bytes()
    assert json.loads(fleet.told["web3"][2][1])["sha256"] == AGENT.sha256


def test_progress_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred servers take a quarter of a minute: a step that says nothing looks like one that hangs."""
    monkeypatch.setattr("scripts.on_servers.PROGRESS", 0.0)
    lead(Fleet({"web3": {RUN: [MOVED]}, "worker1": {RUN: [MOVED]}, "worker2": {RUN: [MOVED]}}))
    assert capsys.readouterr().err.splitlines() == [f"{count} of 3 servers have answered" for count in (1, 2, 3)]


@pytest.mark.parametrize("at", [DELIVER, INSTALL], ids=["delivery", "installation"])
def test_an_agent_that_does_not_arrive_is_not_asked(at: str) -> None:
    """The old agent's facts would be taken for the new one's."""
    done = {DELIVER: [Answer(0, "", "")], INSTALL: [Answer(0, "", "")]}
    full = Answer(1, "", "base64: write error: No space left on device\n")
    fleet = Fleet({"web3": {RUN: [Answer(OTHER_AGENT, "", "")], **done, at: [full]}})
    with pytest.raises(Refusal, match="web3: base64: write error: No space left on device"):
        lead(fleet, web3={"address": "10.77.0.23"})
    assert fleet.told["web3"][-1][0] == at


def test_all_others_are_done_before_one_is_complained_of(capsys: pytest.CaptureFixture[str]) -> None:
    """One server that is off would keep two hundred others where their writes are refused."""
    off = Answer(None, "", "it did not answer within 10 s")
    no = Answer(
        1, "", "a line of progress\npgleap: refused. Expected: a plain file. Found: a link. To do: make it one\n"
    )
    fleet = Fleet({"web3": {RUN: [off]}, "worker1": {RUN: [no]}, "worker2": {RUN: [MOVED]}})
    with pytest.raises(Refusal) as refused:
        lead(fleet)
    assert refused.value.expected == "database names to lead where they are told to, for all of 3 servers"
    assert refused.value.found == (
        "1 are done, 2 are not: web3: not reached: it did not answer within 10 s; "
        "worker1: refused. Expected: a plain file. Found: a link. To do: make it one"
    )
    assert "`pulumi up` again" in refused.value.do
    assert capsys.readouterr().err.splitlines() == [
        "worker1: a line of progress",
        "worker1: refused. Expected: a plain file. Found: a link. To do: make it one",
        "web3: not reached: it did not answer within 10 s",
    ]
    assert len(fleet.told["worker2"]) == 1


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            "stopping celery.service\n",
            "its connection ended before the agent did; it said last: stopping celery.service",
        ),
        ("", "its connection ended before the agent did"),
    ],
)
def test_a_connection_that_is_cut_off_is_no_word_of_the_agents(error: str, why: str) -> None:
    """Its last line of progress would be taken for the reason."""
    with pytest.raises(Refusal) as refused:
        lead(Fleet({"web3": {RUN: [Answer(CUT_OFF, "", error)]}}), web3={"address": "10.77.0.23"})
    assert refused.value.found == f"0 are done, 1 are not: web3: {why}"


def test_a_refusal_names_a_few_and_counts_the_rest() -> None:
    """A line of two hundred servers is longer than the plugin carries: it would hang for ever."""
    names = [f"app{number}" for number in range(200)]
    off = Answer(None, "", "Connection refused")
    with pytest.raises(Refusal) as refused:
        lead(Fleet({name: {RUN: [off]} for name in names}), **{name: {"address": "10.77.9.1"} for name in names})
    assert "app4" in refused.value.found
    assert "app5:" not in refused.value.found
    assert refused.value.found.endswith("; and 195 more, each in a line above")


def test_without_a_key_nothing_is_tried() -> None:
    """Two hundred times the same complaint hides that it is the operator's own."""

    async def no_key(*_: Any) -> dict[str, Answer]:
        raise UnreachableError("the SSH agent holds no key: ssh-add it")

    with pytest.raises(Refusal, match=r"a way to the servers\. Found: the SSH agent holds no key"):
        asyncio.run(on_servers(desired(), no_key))


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    found = Servers()
    yield found
    found.stop()


def test_servers_are_reached_as_the_desired_state_says(servers: Servers, tmp_path: Path) -> None:
    """Host keys are verified here as everywhere: a stranger would be told where the databases are, and given root's program."""
    key = tmp_path / "key"
    USER_KEY.write_private_key(key)
    ours, stranger = {"hostKey": public(HOST_KEY)}, {"hostKey": public(USER_KEY)}
    asked = desired(
        answers={"address": "127.0.0.2", **ours},
        stranger={"address": "127.0.0.2", **stranger},
        nobody={"address": "127.0.0.4", **ours},
    )
    asked["ssh"] = {"user": "deploy", "port": servers.port, "privateKeyFile": str(key)}

    with pytest.raises(Refusal) as refused:
        asyncio.run(on_servers(asked, partial(fleet_ssh.each, deadline=5.0, dial=1.5)))
    # Its shell echoes what it was told on standard input, says "progress", and ends with 3.
    assert (
        "0 are done, 3 are not: answers: progress; stranger: not reached: its host key is not the one"
        in refused.value.found
    )
    assert refused.value.found.endswith("nobody: not reached: Connection refused")
