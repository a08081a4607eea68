"""Servers that exist only as a list of what they were asked, and an engine that exists only as a list of what it heard."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from rehearsal.plugins.local import Here
from rehearsal.plugins.transport import Connection, Listener, Result


@dataclass(frozen=True)
class Asked:
    """One command, or one copy (`content` is set), that reached a server."""

    host: str
    command: str
    stdin: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    content: bytes | str | None = None


@dataclass(frozen=True)
class Answer:
    """What a simulated server says to a command, and how the command ends."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit: int = 0
    seconds: float = 0.0


class Servers(Here):
    """A Transport whose servers answer as `answer` says; by default with the standard input."""

    def __init__(self, answer: Callable[[Asked], Answer] | None = None, accepted: tuple[str, ...] = ()) -> None:
        self.answer = answer or (lambda asked: Answer(asked.stdin.encode()))
        self.accepted = accepted
        self.asked: list[Asked] = []
        self.abandoned: list[Asked] = []

    def accepts(self, variable: str) -> bool:
        return variable in self.accepted

    async def run(
        self, connection: Connection, command: str, stdin: str, environment: Mapping[str, str], listener: Listener
    ) -> Result:
        asked = Asked(connection.host, command, stdin, dict(environment))
        self.asked.append(asked)
        answer = self.answer(asked)
        listener.stderr(answer.stderr)
        listener.stdout(answer.stdout)
        try:
            await asyncio.sleep(answer.seconds)
        except asyncio.CancelledError:
            self.abandoned.append(asked)
            raise
        return Result(answer.exit)

    async def copy(self, connection: Connection, source: bytes | str, remote_path: str, listener: Listener) -> None:
        self.asked.append(Asked(connection.host, remote_path, content=source))

    def commands(self) -> list[str]:
        """What was run and copied, in order, as `host: command`."""
        return [f"{asked.host}: {asked.command}" for asked in self.asked]


@dataclass
class Heard:
    """Keeps what a command said."""

    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    said: list[str] = field(default_factory=list)

    def stdout(self, chunk: bytes) -> None:
        self.out += chunk

    def stderr(self, chunk: bytes) -> None:
        self.err += chunk

    def status(self, sentence: str) -> None:
        self.said.append(sentence)


class HeardEngine(engine_pb2_grpc.EngineServicer):
    """An engine of which only the log is there."""

    def __init__(self) -> None:
        self.heard: list[engine_pb2.LogRequest] = []
        self._server = grpc.server(ThreadPoolExecutor(max_workers=2))
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        self.heard.append(request)
        return empty_pb2.Empty()

    def lines(self) -> list[str]:
        """The messages, in order."""
        return [request.message for request in self.heard]

    def close(self) -> None:
        self._server.stop(None)
