"""All servers of a stack at once over SSH: one command each, host keys verified, a deadline for each server.

A server that cannot be reached, or that accepts and then says nothing, is an answer that says so, never an exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import asyncssh

from agent.states import Verb
from components.agent_program import INSTALLED, SUDO

if TYPE_CHECKING:
    # A step on the operator's machine has its own desired state, and not the half second that it takes to import all settings.
    from components.settings import Settings

DEADLINE = 10.0
DELIVERY_SECONDS = 5.0
# So many servers at once: enough for any fleet this is for, and within a bastion's limits on open files.
AT_ONCE = 64
# What the shell answers where the agent is not installed; no verb ends with it.
NOT_INSTALLED = 44

# A command's exit status where its connection ended first, or a signal ended it: whether it goes on is not known.
CUT_OFF = -1

Keys = list[asyncssh.SSHKeyPair]


@dataclass(frozen=True)
class Answer:
    """What a server answered: `status` is the command's exit status, None if it never ran, or did not end in time; then `error` says why,
    and `output` is what it had said by then. The command ran between `began` and `ended`, in seconds since the epoch by this machine's clock."""

    status: int | None
    output: str
    error: str
    began: float = 0.0
    ended: float = 0.0
    # Of a file that was to be brought there over SFTP and taken away again: "" if it was, why it was not; None if nobody tried.
    delivered: str | None = None


class Reachable(Protocol):
    """Where a server is, and the host key that it has to show; None accepts whoever answers, as the stack says in so many words."""

    @property
    def address(self) -> str: ...

    @property
    def host_key(self) -> str | None: ...


class Bastion(Reachable, Protocol):
    """The server that all connections go through; without a `user` it is that of all servers."""

    @property
    def user(self) -> str | None: ...

    @property
    def port(self) -> int: ...


class Login(Protocol):
    """How all servers are reached, as `pgleap:ssh` has it."""

    @property
    def user(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def private_key_file(self) -> Path | None: ...

    @property
    def bastion(self) -> Bastion | None: ...


# A server's shell: a command and its standard input, and what came of it.
Shell = Callable[[str, str], Awaitable[Answer]]
# What is said to a server, by its name, over one connection.
Talk = Callable[[str, Shell], Awaitable[Answer]]
# Hears each line that a command says on its standard error, as it comes.
Hear = Callable[[str], None]
# The same of many servers, by name.
HearEach = Callable[[str, str], None]


def agent_command(verb: Verb) -> str:
    """What a shell on a server runs to ask the installed agent; the desired state comes on its standard input."""
    return f"test -e {INSTALLED} || exit {NOT_INSTALLED}; {SUDO} {INSTALLED} {verb.value}"


class UnreachableError(Exception):
    """Why no server at all can be reached: the operator's own key, or the bastion."""


@dataclass
class _Way:
    """What all connections share."""

    ssh: Login
    keys: Keys
    bastion: asyncssh.SSHClientConnection | None = None
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


def ask(
    settings: Settings, command: str, inputs: Mapping[str, str], deadline: float = DEADLINE, *, delivers: bool = False
) -> dict[str, Answer]:
    """Run `command` on each server named in `inputs` (name -> its standard input); the answers by name, after at most
    `deadline` seconds for each server. With `delivers` a file is tried over SFTP first, as the engine brings the agent."""
    servers = {name: settings.servers[name] for name in inputs}
    try:
        return asyncio.run(
            each(
                settings.ssh,
                servers,
                lambda name, shell: shell(command, inputs[name]),
                deadline=deadline,
                dial=deadline,
                delivers=delivers,
            )
        )
    except UnreachableError as error:
        return {name: Answer(None, "", str(error)) for name in inputs}


def ask_bastion(settings: Settings, command: str, deadline: float = DEADLINE) -> Answer:
    """Run `command` on the bastion itself, which may let nobody run any. There must be a bastion."""
    return asyncio.run(_ask_bastion(settings, command, deadline))


async def _ask_bastion(settings: Settings, command: str, deadline: float) -> Answer:
    try:
        async with _way(settings.ssh, deadline) as way, asyncio.timeout(deadline):
            assert way.bastion is not None
            return await _talk(way.bastion, command, "")
    except UnreachableError as error:
        return Answer(None, "", str(error))
    except Exception as error:  # an answer that says so, whatever it is
        return Answer(None, "", _why(error, deadline))


async def each(
    ssh: Login,
    servers: Mapping[str, Reachable],
    talk: Talk,
    hear: HearEach = lambda *_: None,
    *,
    deadline: float,
    dial: float,
    delivers: bool = False,
) -> dict[str, Answer]:
    """Talk to all servers side by side, at most `dial` seconds until one lets us in and `deadline` seconds in all for each: the answers
    by name. `hear` is told what a server says meanwhile, by its name. Raises UnreachableError."""
    async with _way(ssh, dial) as way:
        answers = await asyncio.gather(
            *(
                _one(way, server, partial(talk, name), partial(hear, name), dial, deadline, delivers)
                for name, server in servers.items()
            )
        )
    return dict(zip(servers, answers, strict=True))


@contextlib.asynccontextmanager
async def _way(ssh: Login, deadline: float) -> AsyncIterator[_Way]:
    async with _keys(ssh) as keys:
        way = _Way(ssh, keys)
        if ssh.bastion is not None:
            try:
                async with asyncio.timeout(deadline):
                    way.bastion = await _to_bastion(way, ssh, ssh.bastion)
            except (OSError, asyncssh.Error, TimeoutError) as error:
                raise UnreachableError(f"the bastion {ssh.bastion.address}: {_why(error, deadline)}") from error
        try:
            yield way
        finally:
            if way.bastion is not None:
                way.bastion.abort()


@contextlib.asynccontextmanager
async def _keys(ssh: Login) -> AsyncIterator[Keys]:
    """The one key file, or what the SSH agent holds, as Pulumi's own connections have it."""
    if ssh.private_key_file is not None:
        try:
            keys = list(asyncssh.load_keypairs(str(ssh.private_key_file.expanduser())))
        except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise UnreachableError(f"the key file {ssh.private_key_file}: {error}") from error
        yield keys
        return
    try:
        agent = await asyncssh.connect_agent()
    except (OSError, ValueError) as error:
        raise UnreachableError("no SSH agent answers (SSH_AUTH_SOCK): start one, ssh-add the key") from error
    async with agent:
        keys = list(await agent.get_keys())
        if not keys:
            raise UnreachableError("the SSH agent holds no key: ssh-add it")
        yield keys


async def _one(
    way: _Way,
    server: Reachable,
    talk: Callable[[Shell], Awaitable[Answer]],
    hear: Hear,
    dial: float,
    deadline: float,
    delivers: bool,
) -> Answer:
    ssh = way.ssh
    said: list[str] = []
    delivered: str | None = None
    async with way.room:
        within = dial
        try:
            async with asyncio.timeout(deadline):
                async with asyncio.timeout(dial):
                    connection = await _connect(way, server.address, ssh.port, ssh.user, server.host_key, way.bastion)
                within = deadline
                try:
                    if delivers:
                        delivered = await _deliver(connection)
                    return replace(await talk(partial(_talk, connection, hear=hear, said=said)), delivered=delivered)
                finally:
                    # Not closed: a server that stopped answering would be waited for.
                    connection.abort()
        except Exception as error:  # whatever becomes of one, the others are asked
            return Answer(None, "".join(said), _why(error, within), delivered=delivered)


async def _deliver(connection: asyncssh.SSHClientConnection) -> str:
    """Bring a small file to where the engine brings the agent, in its way, and take it away: "" if that goes, else why not."""
    name = f".pgleap-preflight-{secrets.token_hex(8)}"
    try:
        async with asyncio.timeout(DELIVERY_SECONDS), connection.start_sftp_client() as client:
            try:
                async with client.open(name, "wb") as file:
                    await file.write(b"pgleap")
                await client.stat(name)
            finally:
                with contextlib.suppress(OSError, asyncssh.Error):
                    await client.remove(name)
    except TimeoutError:
        return f"no answer within {DELIVERY_SECONDS:g} s"
    except Exception as error:  # whatever it is, the server is asked all the same
        return str(error) or type(error).__name__
    return ""


async def _talk(
    connection: asyncssh.SSHClientConnection,
    command: str,
    text: str,
    hear: Hear = lambda _: None,
    said: list[str] | None = None,
) -> Answer:
    """`said` gets what the command says as it comes: its caller may stop waiting."""
    said = [] if said is None else said
    began = time.time()
    process = await connection.create_process(command, encoding="utf-8", errors="replace")
    # A command that ended without reading has closed its input already.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(text)
        process.stdin.write_eof()
    error = ""
    first = len(said)
    output = asyncio.ensure_future(_gather(process.stdout, said))
    async for line in process.stderr:
        error += line
        hear(line.rstrip())
    done = await process.wait(check=False)
    status = done.exit_status if done.exit_status is not None else CUT_OFF
    await output
    return Answer(status, "".join(said[first:]), error, began, time.time())


async def _gather(stream: asyncssh.SSHReader[str], said: list[str]) -> None:
    while piece := await stream.read(65536):
        said.append(piece)


async def _to_bastion(way: _Way, ssh: Login, bastion: Bastion) -> asyncssh.SSHClientConnection:
    return await _connect(way, bastion.address, bastion.port, bastion.user or ssh.user, bastion.host_key, None)


async def _connect(
    way: _Way, address: str, port: int, user: str, host_key: str | None, through: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHClientConnection:
    """Settings refuse a server without a host key unless the stack accepts unknown ones in so many words."""
    known: tuple[list[asyncssh.SSHKey], list[str], list[str]] | None = (
        None if host_key is None else ([asyncssh.import_public_key(host_key)], [], [])
    )
    return await asyncssh.connect(
        address, port, username=user, known_hosts=known, client_keys=way.keys, config=None, tunnel=through or (),
        preferred_auth="publickey", gss_host=None, connect_timeout=None, login_timeout=None,
    )  # fmt: skip


def _why(error: Exception, deadline: float) -> str:
    if isinstance(error, TimeoutError):
        return f"it did not answer within {deadline:g} s"
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return "its host key is not the one in pgleap:servers; find out why before anything else"
    if isinstance(error, asyncssh.PermissionDenied):
        return "it accepts none of our keys for this user (pgleap:ssh)"
    if isinstance(error, OSError) and error.errno:
        # asyncio's own text names the call that failed, not why.
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
