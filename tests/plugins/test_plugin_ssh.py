"""The lab's own transport, against SSH servers on loopback."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rehearsal.plugins.ssh import SshTransport
from rehearsal.plugins.transport import Connection, Result, TransportError
from tests.plugins.simulated import Heard

HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER_HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
USER_KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER_USER_KEY = asyncssh.generate_private_key("ssh-ed25519")


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


class OneUser(asyncssh.SSHServer):
    """Lets in whoever holds USER_KEY."""

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return public(key) == public(USER_KEY)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


async def shell(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    """Runs what is asked for in a real shell, but for the few commands that a test plays."""
    if process.command == "hang up":
        process.channel.get_connection().abort()
        return
    if process.command == "be killed":
        process.exit_with_signal("KILL")
        return
    child = await asyncio.create_subprocess_shell(
        process.command or "",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate(await process.stdin.read())
    process.stdout.write(out)
    process.stderr.write(err)
    process.exit(child.returncode or 0)


@asynccontextmanager
async def serving() -> AsyncIterator[Connection]:
    """A server, and a connection to it that works."""
    async with await asyncssh.create_server(
        OneUser, "127.0.0.1", 0, server_host_keys=[HOST_KEY], process_factory=shell, encoding=None, sftp_factory=True
    ) as server:
        yield Connection(
            "127.0.0.1",
            server.get_port(),
            "deploy",
            private_key=USER_KEY.export_private_key().decode(),
            host_key=public(HOST_KEY),
            dial_error_limit=1,
            per_dial_timeout=5,
        )


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def run(
    command: str, stdin: str = "", change: Callable[[Connection], Connection] = lambda connection: connection
) -> tuple[Result, Heard]:
    """Runs `command` on a server of its own, over a connection that `change` may spoil."""

    async def whole() -> tuple[Result, Heard]:
        heard = Heard()
        async with serving() as connection:
            return await SshTransport().run(change(connection), command, stdin, {}, heard), heard

    return asyncio.run(whole())


def test_a_command_gets_its_input_and_is_heard() -> None:
    """A desired state cut short or streams mixed up would be read by the agent, or by us, as something else."""
    result, heard = run("cat; echo progress >&2; exit 3", "x" * 200_000)
    assert (result, len(heard.out), bytes(heard.err)) == (Result(3), 200_000, b"progress\n")


def test_a_command_that_reads_nothing_still_ends_well() -> None:
    """Its input is closed before all was sent; that is no failure."""
    for _ in range(5):
        assert run("true", "{}")[0] == Result(0)


def test_a_signal_is_no_success() -> None:
    """A killed agent must not count as done."""
    result, _ = run("be killed")
    assert str(result) == "Process exited with status 137 from signal KILL"


def test_a_connection_that_ends_first_is_no_success() -> None:
    """A server that went down in the middle must not count as done."""
    result, _ = run("hang up")
    assert str(result) == "wait: remote command exited without exit status or exit signal"


@pytest.mark.parametrize(
    "given", [None, public(HOST_KEY), public(HOST_KEY) + " a comment"], ids=["none", "right", "with a comment"]
)
def test_the_right_host_key_or_none_is_accepted(given: str | None) -> None:
    """Like the real plugin; it is the program's settings that refuse a server without one."""
    assert run("true", change=lambda right: replace(right, host_key=given))[0] == Result(0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"host_key": public(OTHER_HOST_KEY)}, "ssh: handshake failed: ssh: host key mismatch"),
        (
            {"private_key": OTHER_USER_KEY.export_private_key().decode()},
            "ssh: unable to authenticate, attempted methods [none publickey]",
        ),
        ({"private_key": None}, "ssh: unable to authenticate, attempted methods [none]"),
    ],
    ids=["another host key", "another user's key", "no key"],
)
def test_what_is_wrong_is_dialled_again_and_then_refused(change: dict[str, Any], expected: str) -> None:
    """A server that pretends to be another must never be given a desired state."""
    with pytest.raises(TransportError, match="after 1 failed attempts: ") as error:
        run("true", change=lambda right: replace(right, **change))
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"host_key": "nonsense"}, "failed to parse host key"),
        ({"private_key": "nonsense"}, "ssh: no key found"),
        ({"agent_socket_path": "/nowhere/agent.sock"}, "dial unix /nowhere/agent.sock: connect: no such file"),
    ],
)
def test_what_can_never_work_is_not_dialled_again(change: dict[str, Any], expected: str) -> None:
    """Eleven dials with a key that cannot be read only cost time."""
    with pytest.raises(TransportError, match=expected) as error:
        run("true", change=lambda right: replace(right, **change))
    assert "attempts" not in str(error.value)


def test_a_limit_of_two_is_three_dials() -> None:
    """So the real plugin counts; a window's length rests on it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        port = taken.getsockname()[1]
        heard = Heard()
        nowhere = Connection("127.0.0.1", port, dial_error_limit=2, per_dial_timeout=5)
        with pytest.raises(TransportError) as error:
            asyncio.run(SshTransport().run(nowhere, "true", "", {}, heard))
    assert heard.said == ["Dial 1/2 failed: retrying", "Dial 2/2 failed: retrying"]
    assert str(error.value) == f"after 2 failed attempts: dial tcp 127.0.0.1:{port}: connect: connection refused"


def test_a_server_that_stays_mute_holds_the_step_until_it_is_given_up() -> None:
    """So it is with the real plugin: a time limit here would promise what production does not keep."""

    async def whole() -> float:
        mute = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(60), "127.0.0.1", 0)
        connection = Connection("127.0.0.1", mute.sockets[0].getsockname()[1], dial_error_limit=0, per_dial_timeout=1)
        began = time.monotonic()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(SshTransport().run(connection, "true", "", {}, Heard()), 2.5)
        mute.close()
        return time.monotonic() - began

    assert 2 < asyncio.run(whole()) < 10


def test_a_bastion_stands_between() -> None:
    """A server behind one is reached through it, and only its own host key counts for it."""
    result, heard = run("echo through", change=lambda right: replace(right, proxy=right))
    assert (result, bytes(heard.out)) == (Result(0), b"through\n")
    with pytest.raises(TransportError, match=r"^proxy: after 1 failed attempts: .*host key mismatch"):
        run("true", change=lambda right: replace(right, proxy=replace(right, host_key=public(OTHER_HOST_KEY))))


def test_only_what_debians_sshd_accepts_is_accepted() -> None:
    """A refusal cannot be seen with this library, so it must be known."""
    assert SshTransport().accepts("LC_ALL")
    assert not SshTransport().accepts("PULUMI_COMMAND_STDOUT")


Prepare = Callable[[Path], object]


@pytest.mark.parametrize(
    ("source", "prepare", "expected"),
    [
        (b"text", lambda _: None, {"a/b": "text"}),
        (b"text", lambda at: write(at / "a/b", "much longer than before"), {"a/b": "text"}),
        ("agent.pyz", lambda _: None, {"a/b": "zip"}),
        ("agent.pyz", lambda at: (at / "a/b").mkdir(parents=True), {"a/b/agent.pyz": "zip"}),
        ("folder", lambda _: None, {"a/b/folder/one": "1", "a/b/folder/in/two": "2"}),
        ("folder/", lambda _: None, {"a/b/one": "1", "a/b/in/two": "2"}),
        ("folder/", lambda at: write(at / "a/b/one", "old"), {"a/b/one": "1", "a/b/in/two": "2"}),
    ],
)
def test_copies_land_where_the_real_plugin_puts_them(
    tmp_path: Path, source: bytes | str, prepare: Prepare, expected: dict[str, str]
) -> None:
    """An agent that lands one folder deeper is an old agent that goes on running."""
    here, there = tmp_path / "here", tmp_path / "there"
    write(here / "agent.pyz", "zip")
    write(here / "folder/one", "1")
    write(here / "folder/in/two", "2")
    there.mkdir()
    prepare(there)
    copied(source if isinstance(source, bytes) else f"{here}/{source}", str(there / "a/b"))
    assert {str(file.relative_to(there)): file.read_text() for file in there.rglob("*") if file.is_file()} == expected


@pytest.mark.parametrize(
    ("source", "prepare", "expected"),
    [
        (b"text", lambda at: (at / "a/b").mkdir(parents=True), "is a directory; when using a text asset"),
        ("folder/", lambda at: write(at / "a/b", ""), "exists but is not a directory"),
        ("missing", lambda _: None, "open .*/missing: no such file or directory"),
    ],
)
def test_copies_that_are_refused(tmp_path: Path, source: bytes | str, prepare: Prepare, expected: str) -> None:
    """Nothing is written somewhere near instead."""
    write(tmp_path / "here/folder/one", "1")
    (tmp_path / "there").mkdir()
    prepare(tmp_path / "there")
    with pytest.raises(TransportError, match=expected):
        copied(source if isinstance(source, bytes) else f"{tmp_path}/here/{source}", str(tmp_path / "there/a/b"))


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def copied(source: bytes | str, remote_path: str) -> None:
    async def whole() -> None:
        async with serving() as connection:
            await SshTransport().copy(connection, source, remote_path, Heard())

    asyncio.run(whole())
