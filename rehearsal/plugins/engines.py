"""The engines that are attached: whom to tell what, and in which folder their program runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import grpc.aio
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc


class Log:
    """One engine's log. What cannot be delivered is dropped: an engine that is gone has no reader."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        stub = engine_pb2_grpc.EngineStub(self._channel)
        self._stub = cast("engine_pb2_grpc.EngineAsyncStub", stub)  # the name exists in the type stubs only

    async def write(
        self,
        message: str,
        urn: str = "",
        severity: engine_pb2.LogSeverity.ValueType = engine_pb2.INFO,
        stream: int = 0,
        passing: bool = False,
    ) -> None:
        """Adds `message`, about the resource `urn` if one is named; `passing` shows it only until the next one."""
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, streamId=stream, ephemeral=passing)
        try:
            await self._stub.Log(request)
        except grpc.aio.AioRpcError:
            return

    async def close(self) -> None:
        """Lets go of the engine."""
        await self._channel.close(None)


@dataclass
class Engines:
    """Who is attached. One process serves one engine after another, and sometimes two at once."""

    _addresses: dict[str, str] = field(default_factory=dict)
    _logs: dict[str, Log] = field(default_factory=dict)
    _folders: dict[str, Path] = field(default_factory=dict)
    _latest: str = ""

    def attached(self, peer: str, address: str) -> None:
        """The engine that listens at `address` calls from `peer` from now on."""
        if self._addresses.get(peer) != address:
            self._addresses[peer] = address
            # One for each peer, not each address: another engine may listen there by now.
            self._logs[peer] = Log(address)
        self._latest = peer

    def runs_in(self, peer: str, folder: Path) -> None:
        """The program of the engine that calls from `peer` runs in `folder`."""
        self._folders[self.address(peer)] = folder

    def address(self, peer: str) -> str:
        """Where the engine that calls from `peer` listens; empty if none ever attached."""
        return self._addresses.get(peer) or self._addresses.get(self._latest, "")

    def log(self, peer: str) -> Log | None:
        """The log of the engine that calls from `peer`."""
        return self._logs.get(peer) or self._logs.get(self._latest)

    def folder(self, peer: str) -> Path:
        """The folder that relative paths start from for the engine that calls from `peer`."""
        return self._folders.get(self.address(peer)) or Path.cwd()

    async def close(self) -> None:
        """Lets go of every engine."""
        for log in self._logs.values():
            await log.close()
        self._logs.clear()
