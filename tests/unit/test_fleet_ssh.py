"""Reaching all servers at once: real SSH on loopback, with servers that answer, stay mute, or are somebody else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from components.settings import Settings
from scripts.fleet_ssh import ask, ask_bastion
from tests.unit.example_config import config

DEADLINE = 1.5
HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
USER_KEY = asyncssh.generate_private_key("ssh-ed25519")
STRANGER = asyncssh.generate_private_key("ssh-ed25519")


def public(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


class Forwarding(asyncssh.SSHServer):
    """It lets its users go on to other servers."""

    def connection_requested(self, *_: Any) -> bool:
        return True


class Servers:
    """sshd on 127.0.0.2, one that accepts and stays mute on 127.0.0.3, nobody on 127.0.0.4; all at one port."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(20)

    async def _listen(self) -> int:
        authorized = asyncssh.import_authorized_keys(USER_KEY.export_public_key().decode())
        sshd = await asyncssh.listen(
            "127.0.0.2",
            0,
            server_factory=Forwarding,
            server_host_keys=[HOST_KEY],
            authorized_client_keys=authorized,
            process_factory=self._answer,
        )
        port: int = sshd.get_port()
        await asyncio.start_server(lambda *_: asyncio.sleep(3600), "127.0.0.3", port)
        return port

    @staticmethod
    async def _answer(process: asyncssh.SSHServerProcess[str]) -> None:
        if process.command == "hang":
            await asyncio.sleep(3600)
        if process.command == "refuse":
            process.exit(44)
            return
        process.stdout.write(await process.stdin.read())
        process.stderr.write("progress\n")
        process.exit(3)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    found = Servers()
    yield found
    found.stop()


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    file = tmp_path / "key"
    USER_KEY.write_private_key(str(file))
    return str(file)


def settings(servers: Servers, key_file: str, **more: Any) -> Settings:
    """web1 answers, web2 is mute, web3 is nobody, worker1 is another host than its key says."""
    raw = config()
    for name, address, key in (
        ("web1", "127.0.0.2", HOST_KEY), ("web2", "127.0.0.3", HOST_KEY), ("web3", "127.0.0.4", HOST_KEY), ("worker1", "127.0.0.2", STRANGER),
    ):  # fmt: skip
        raw["servers"][name]["hostKey"] = public(key)
        raw["servers"][name]["address"] = f"10.99.0.{address[-1]}" if name != "worker1" else "10.99.0.9"
    raw["ssh"] = {"user": "deploy", "port": servers.port, "privateKeyFile": key_file, **more}
    found = Settings.from_config(raw)
    # A loopback address is refused in a stack, and here it is all there is.
    there = {"web1": "127.0.0.2", "web2": "127.0.0.3", "web3": "127.0.0.4", "worker1": "127.0.0.2"}
    moved = {
        name: server.model_copy(update={"address": there.get(name, server.address)})
        for name, server in found.servers.items()
    }
    return found.model_copy(update={"servers": moved})


NAMES = ("web1", "web2", "web3", "worker1")


def test_one_answers_and_the_others_say_why_not(servers: Servers, key_file: str) -> None:
    """A server that is off, mute or not who it says must be a row, and must not take the others' rows away."""
    began = time.monotonic()
    answers = ask(settings(servers, key_file), "echo", dict.fromkeys(NAMES, "hello"), DEADLINE)
    assert time.monotonic() - began < DEADLINE + 15, "one server's silence is not another's"
    assert list(answers) == list(NAMES)
    assert (answers["web1"].status, answers["web1"].output, answers["web1"].error) == (3, "hello", "progress\n")
    assert answers["web2"].error == "it did not answer within 1.5 s"
    assert answers["web3"].error == "Connection refused"
    assert "host key is not the one" in answers["worker1"].error
    assert [answers[name].status for name in NAMES[1:]] == [None, None, None]


def test_the_deadline_is_the_one_that_was_asked_for(
    servers: Servers, key_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy server that lets us in after twelve seconds would be called unreachable, whatever an operator allows it."""
    monkeypatch.setattr("scripts.fleet_ssh.DEADLINE", 0.5)
    answers = ask(settings(servers, key_file), "echo", {"web2": ""}, DEADLINE)
    assert answers["web2"].error == "it did not answer within 1.5 s"


def test_a_command_that_never_ends_is_left(servers: Servers, key_file: str) -> None:
    """sshd answers and the agent hangs (a disk that does not answer): the page must come all the same."""
    answers = ask(settings(servers, key_file), "hang", {"web1": ""}, DEADLINE)
    assert answers["web1"].error == "it did not answer within 1.5 s"


def test_a_command_that_ends_without_reading_has_answered(servers: Servers, key_file: str) -> None:
    """A server without the agent answers before it was told anything; that is no failure to reach it."""
    assert ask(settings(servers, key_file), "refuse", {"web1": "x" * 1_000_000}, DEADLINE)["web1"].status == 44


def test_through_a_bastion(servers: Servers, key_file: str) -> None:
    """Most fleets have no other way in; a mute server behind it must not hold up the others either."""
    hop = {"address": "127.0.0.2", "port": servers.port, "hostKey": public(HOST_KEY)}
    answers = ask(settings(servers, key_file, bastion=hop), "echo", dict.fromkeys(NAMES, "hello"), DEADLINE)
    assert (answers["web1"].status, answers["web1"].output) == (3, "hello")
    assert answers["web2"].error == "it did not answer within 1.5 s"
    assert "host key is not the one" in answers["worker1"].error


@pytest.mark.parametrize("wrong", [{"address": "127.0.0.3"}, {"address": "127.0.0.2", "hostKey": public(STRANGER)}])
def test_a_bastion_that_does_not_let_through_is_named(servers: Servers, key_file: str, wrong: dict[str, Any]) -> None:
    """Ten rows that say "not reached" would send an operator to ten servers that are well."""
    hop = {"hostKey": public(HOST_KEY), "port": servers.port, **wrong}
    answers = ask(settings(servers, key_file, bastion=hop), "echo", {"web1": "", "web2": ""}, DEADLINE)
    assert {name: answer.error.startswith("the bastion 127.0.0.") for name, answer in answers.items()} == {
        "web1": True, "web2": True,
    }  # fmt: skip


def test_when_the_command_ran(servers: Servers, key_file: str) -> None:
    """Two servers' clocks are compared by it: what came before the command began must not count."""
    before = time.time()
    answer = ask(settings(servers, key_file), "echo", {"web1": ""}, DEADLINE)["web1"]
    assert before <= answer.began <= answer.ended <= time.time()


def test_the_bastion_itself(servers: Servers, key_file: str) -> None:
    """Its limits show on itself alone; one that lets nobody run a command must not hang either."""
    hop = {"address": "127.0.0.2", "port": servers.port, "hostKey": public(HOST_KEY)}
    assert ask_bastion(settings(servers, key_file, bastion=hop), "refuse", DEADLINE).status == 44
    answer = ask_bastion(settings(servers, key_file, bastion=hop), "hang", DEADLINE)
    assert (answer.status, answer.error) == (None, "it did not answer within 1.5 s")
    gone = {**hop, "address": "127.0.0.4"}
    assert (
        "the bastion 127.0.0.4: Connection refused" in ask_bastion(settings(servers, key_file, bastion=gone), "x").error
    )


def test_without_an_agent_or_a_usable_key(
    servers: Servers, key_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong here is on the operator's machine, and no server's fault."""
    broken = tmp_path / "broken"
    broken.write_text("no key")
    assert "the key file" in ask(settings(servers, str(broken)), "echo", {"web1": ""}, DEADLINE)["web1"].error
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    without = settings(servers, key_file)
    without = without.model_copy(update={"ssh": without.ssh.model_copy(update={"private_key_file": None})})
    assert "no SSH agent" in ask(without, "echo", {"web1": ""}, DEADLINE)["web1"].error
