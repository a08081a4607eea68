"""How a command reaches a server: over SSH in the lab, over a simulation in tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .values import Value, plain


class TransportError(Exception):
    """The server was not reached, or the connection ended; the message reads as the real plugin's does."""


@dataclass(frozen=True)
class Connection:
    """Where and as whom to connect; seconds, and counts of failed dials (-1: no limit)."""

    host: str
    port: int = 22
    user: str = "root"
    password: str | None = None
    private_key: str | None = None
    private_key_password: str | None = None
    agent_socket_path: str | None = None
    dial_error_limit: int = 10
    per_dial_timeout: int = 15
    host_key: str | None = None
    proxy: "Connection | None" = None

    @classmethod
    def read(cls, value: Value) -> "Connection":
        """From a `connection` input that was checked (so that defaults are in it)."""
        fields = plain(value)
        if not isinstance(fields, dict):
            raise TransportError("expected a connection that is known, found none")

        def text(name: str) -> str | None:
            found = fields.get(name)
            return found if isinstance(found, str) else None

        def whole(name: str, default: int) -> int:
            found = fields.get(name)
            return int(found) if isinstance(found, int | float) else default

        proxy = fields.get("proxy")
        return cls(
            host=text("host") or "",
            port=whole("port", cls.port),
            user=text("user") or cls.user,
            password=text("password"),
            private_key=text("privateKey"),
            private_key_password=text("privateKeyPassword"),
            agent_socket_path=text("agentSocketPath"),
            dial_error_limit=whole("dialErrorLimit", cls.dial_error_limit),
            per_dial_timeout=whole("perDialTimeout", cls.per_dial_timeout),
            host_key=text("hostKey"),
            proxy=None if proxy is None else cls.read(proxy),
        )


@dataclass(frozen=True)
class Result:
    """How a command ended: its exit status, and the signal (without SIG) if one ended it.

    `exit` is None if the connection ended first: whether the command goes on is not known then.
    """

    exit: int | None
    signal: str = ""

    def __str__(self) -> str:
        """The sentence that the real plugin puts before the output of a command that failed."""
        if self.exit is None:
            return "wait: remote command exited without exit status or exit signal"
        return f"Process exited with status {self.exit}" + (f" from signal {self.signal}" if self.signal else "")


@dataclass(frozen=True)
class LocalRun:
    """A command on the operator's own machine, in `folder`. `environment` comes on top of this process's own."""

    command: str
    interpreter: Sequence[str]
    folder: Path
    stdin: str
    environment: Mapping[str, str]


class Listener(Protocol):
    """Hears what a command says while it runs; called on the event loop's thread."""

    def stdout(self, chunk: bytes) -> None: ...

    def stderr(self, chunk: bytes) -> None: ...

    def status(self, sentence: str) -> None:
        """A sentence about the connection, such as that a dial failed and is tried again."""


class Transport(Protocol):
    """What the command provider needs of the world. Both verbs run on the plugins' event loop and must not block it."""

    def accepts(self, variable: str) -> bool:
        """Whether servers accept this environment variable from a client (sshd's AcceptEnv)."""

    async def run(
        self, connection: Connection, command: str, stdin: str, environment: Mapping[str, str], listener: Listener
    ) -> Result:
        """Runs `command` in the user's login shell, without a terminal. Raises TransportError."""

    async def copy(self, connection: Connection, source: bytes | str, remote_path: str, listener: Listener) -> None:
        """Puts a text, or a local file or folder named by its path, at `remote_path`. Raises TransportError.

        A folder's path that ends in a slash stands for what is in it; without one, for the folder itself.
        """

    async def run_here(self, run: LocalRun, listener: Listener) -> str:
        """Runs a command on the operator's machine; empty, or how it failed, as the real plugin says it. It may lead to servers, which is
        why a simulation has its say."""
