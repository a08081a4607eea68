"""The transport of the lab: commands and files over SSH, dialled, trusted and retried as the real plugin does.

Each command and each copy makes a connection of its own, so that a server that was restarted in between is no case
of its own. As with the real plugin, only reaching a server's port has a time limit: one that accepts and then stays
mute holds its step until the engine is ended.
"""
# ruff: noqa: ARG002 -- asyncssh calls a session with arguments that not every method needs

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncssh

from .local import Here
from .sftp import upload
from .transport import Connection, Listener, Result, TransportError

_ACCEPTED_VARIABLES = ("LANG", "LC_")
"""What Debian's sshd accepts. asyncssh sends variables without asking for a reply, so a refusal cannot be seen."""

_FIRST_DELAY_SECONDS = 0.1
_DELAY_GROWS = 1.5
_LONGEST_DELAY_SECONDS = 5.0


class SshTransport(Here):
    """Reaches servers with asyncssh."""

    def accepts(self, variable: str) -> bool:
        """Whether a server with Debian's sshd_config accepts `variable`."""
        return variable == _ACCEPTED_VARIABLES[0] or variable.startswith(_ACCEPTED_VARIABLES[1])

    async def run(
        self, connection: Connection, command: str, stdin: str, environment: Mapping[str, str], listener: Listener
    ) -> Result:
        """See Transport."""
        async with _connected(connection, listener) as server:
            session = _Session(listener)
            try:
                variables: dict[bytes | str, bytes | str] = dict(environment.items())
                channel, _ = await server.create_session(lambda: session, command, env=variables, encoding=None)
            except (asyncssh.Error, OSError) as error:
                raise TransportError(f"ssh: {error}") from error
            # A command that ended without reading has closed its input already.
            with suppress(BrokenPipeError):
                channel.write(stdin.encode())
                channel.write_eof()
            await session.ended.wait()
            return session.result

    async def copy(self, connection: Connection, source: bytes | str, remote_path: str, listener: Listener) -> None:
        """See Transport."""
        async with _connected(connection, listener) as server:
            try:
                async with server.start_sftp_client() as client:
                    await upload(client, source, remote_path)
            except asyncssh.Error as error:
                raise TransportError(f"ssh: {error.reason}") from error


class _Session(asyncssh.SSHClientSession[bytes]):
    """Passes on what a command says, and remembers how it ended."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.result = Result(None)
        self.ended = asyncio.Event()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self._listener.stderr(data)
        else:
            self._listener.stdout(data)

    def exit_status_received(self, status: int) -> None:
        self.result = Result(status)

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self.result = Result(128 + _number(signal), signal)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


def _number(name: str) -> int:
    return int(getattr(signal, f"SIG{name}", 0))


@asynccontextmanager
async def _connected(connection: Connection, listener: Listener) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to the server, through its proxy if it has one. Raises TransportError."""
    proxy = connection.proxy
    if proxy is None:
        async with _closing(await _dial("Dial", connection, listener, lambda: _open(connection))) as server:
            yield server
        return
    try:
        first = await _dial("Dial proxy", proxy, listener, lambda: _open(proxy))
    except TransportError as error:
        raise TransportError(f"proxy: {error}") from error
    async with _closing(first) as bastion:
        try:
            second = await _dial("Dial", connection, listener, lambda: _handshake(connection, tunnel=bastion))
        except TransportError as error:
            raise TransportError(f"proxy: {error}") from error
        async with _closing(second) as server:
            yield server


@asynccontextmanager
async def _closing(server: asyncssh.SSHClientConnection) -> AsyncIterator[asyncssh.SSHClientConnection]:
    try:
        yield server
    finally:
        server.abort()


Dial = Callable[[], Awaitable[asyncssh.SSHClientConnection]]


async def _dial(what: str, connection: Connection, listener: Listener, once: Dial) -> asyncssh.SSHClientConnection:
    """Tries until it works or more dials failed than the limit allows: a limit of 2 is three dials."""
    limit, delay, failed = connection.dial_error_limit, _FIRST_DELAY_SECONDS, 0
    while True:
        try:
            return await once()
        except _DialError as error:
            if -1 < limit <= failed:
                raise TransportError(f"after {failed} failed attempts: {error}") from error
        failed += 1
        listener.status(f"{what} {failed}/{'inf' if limit == -1 else limit} failed: retrying")
        await asyncio.sleep(delay)
        delay = min(delay * _DELAY_GROWS, _LONGEST_DELAY_SECONDS)


class _DialError(Exception):
    """One dial failed; another may work."""


async def _open(connection: Connection) -> asyncssh.SSHClientConnection:
    """A connection over a socket of our own, because only reaching the port may have a time limit."""
    name = f"dial tcp {connection.host}:{connection.port}"
    try:
        async with asyncio.timeout(connection.per_dial_timeout or None):
            endpoint = await _reach(connection.host, connection.port)
    except TimeoutError as error:
        raise _DialError(f"{name}: i/o timeout") from error
    except socket.gaierror as error:
        raise _DialError(f"dial tcp: lookup {connection.host}: no such host") from error
    except OSError as error:
        raise _DialError(f"{name}: connect: {_said(error)}") from error
    try:
        return await _handshake(connection, sock=endpoint)
    except BaseException:
        endpoint.close()
        raise


async def _reach(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    family, kind, protocol, _, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
    endpoint = socket.socket(family, kind, protocol)
    try:
        endpoint.setblocking(False)
        await loop.sock_connect(endpoint, address)
    except BaseException:
        endpoint.close()
        raise
    return endpoint


async def _handshake(connection: Connection, **way: Any) -> asyncssh.SSHClientConnection:
    """SSH over `way` (a socket, or a tunnel): the host key is checked if one is given, else any is accepted."""
    options: dict[str, Any] = {"known_hosts": None}
    if connection.host_key is not None:
        try:
            key = asyncssh.import_public_key(connection.host_key)
        except asyncssh.KeyImportError as error:
            raise TransportError("failed to parse host key: ssh: no key found") from error
        options = {"known_hosts": ([key], [], []), "server_host_key_algs": [key.get_algorithm()]}
    try:
        async with _keys(connection) as keys:
            return await asyncssh.connect(
                connection.host,
                connection.port,
                username=connection.user,
                password=connection.password,
                client_keys=keys or None,
                agent_path=None,
                config=None,
                login_timeout=0,
                **options,
                **way,
            )
    except asyncssh.HostKeyNotVerifiable as error:
        raise _DialError("ssh: handshake failed: ssh: host key mismatch") from error
    except asyncssh.PermissionDenied as error:
        tried = ["none"]
        if connection.private_key is not None or _agent(connection):
            tried.append("publickey")
        if connection.password is not None:
            tried += ["password", "keyboard-interactive"]
        raise _DialError(
            f"ssh: handshake failed: ssh: unable to authenticate, attempted methods [{' '.join(tried)}], "
            "no supported methods remain"
        ) from error
    except asyncssh.Error as error:
        reason = "EOF" if isinstance(error, asyncssh.ConnectionLost) else error.reason
        raise _DialError(f"ssh: handshake failed: {reason}") from error
    except OSError as error:
        raise _DialError(f"ssh: handshake failed: {_said(error)}") from error


def _said(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()


def _agent(connection: Connection) -> str | None:
    return connection.agent_socket_path or os.environ.get("SSH_AUTH_SOCK")


@asynccontextmanager
async def _keys(connection: Connection) -> AsyncIterator[list[Any]]:
    """The private key, or else the agent's. Both are never tried: the real plugin offers public keys only once.

    An agent that is named must answer, even where a private key is given. Raises TransportError.
    """
    path = _agent(connection)
    try:
        agent = await asyncssh.connect_agent(path) if path else None
    except OSError as error:
        raise TransportError(f"dial unix {path}: connect: {_said(error)}") from error
    try:
        if connection.private_key is not None:
            yield [asyncssh.import_private_key(connection.private_key, connection.private_key_password)]
        else:
            yield list(await agent.get_keys()) if agent else []
    except asyncssh.KeyImportError as error:
        raise TransportError("ssh: no key found") from error
    except asyncssh.KeyEncryptionError as error:
        raise TransportError(f"ssh: {error}") from error
    finally:
        if agent is not None:
            agent.close()
