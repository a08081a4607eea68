"""Stands in for the Python language host: runs the project's own program, in a fresh process each time.

A program sees the environment of the process that serves it, not that of the engine's caller.
"""
# ruff: noqa: N802, ARG002 -- the protocol names the methods, and passes arguments that not every one needs

import asyncio
import itertools
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import grpc.aio
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from .engine_process import listening
from .engines import Engines, Log
from .program import SHOWN

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_PROGRAM = Path(__file__).with_name("program.py")
_LONGEST_LINE = 1 << 20
_INTERRUPTED_SECONDS = 2.0


class PythonHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The language host's protocol, as far as preview, up, destroy and refresh need it."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._streams: Iterator[int] = itertools.count(1)
        self._running: dict[str, set[asyncio.subprocess.Process]] = {}

    async def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: Context
    ) -> language_pb2.LanguageHandshakeResponse:
        self._engines.attached(context.peer(), request.engine_address)
        return language_pb2.LanguageHandshakeResponse()

    async def About(self, request: language_pb2.AboutRequest, context: Context) -> language_pb2.AboutResponse:
        return language_pb2.AboutResponse(executable=sys.executable, version=".".join(map(str, sys.version_info[:3])))

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo()

    async def GetRequiredPlugins(
        self, request: language_pb2.GetRequiredPluginsRequest, context: Context
    ) -> language_pb2.GetRequiredPluginsResponse:
        return language_pb2.GetRequiredPluginsResponse()

    async def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: Context
    ) -> language_pb2.GetRequiredPackagesResponse:
        """None: the engine would try to download them, and those that the program uses are attached."""
        return language_pb2.GetRequiredPackagesResponse()

    async def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: Context
    ) -> language_pb2.GetProgramDependenciesResponse:
        return language_pb2.GetProgramDependenciesResponse()

    async def RuntimeOptionsPrompts(
        self, request: language_pb2.RuntimeOptionsRequest, context: Context
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    async def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: Context
    ) -> AsyncIterator[language_pb2.InstallDependenciesResponse]:
        """Nothing to install: programs run in the environment that this process runs in."""
        nothing: tuple[language_pb2.InstallDependenciesResponse, ...] = ()
        for response in nothing:
            yield response

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        """Interrupts the engine's programs, as the real language host does when a step has failed."""
        for child in self._running.get(self._engines.address(context.peer()), set()):
            child.send_signal(signal.SIGINT)
        return empty_pb2.Empty()

    async def Run(self, request: language_pb2.RunRequest, context: Context) -> language_pb2.RunResponse:
        peer = context.peer()
        self._engines.runs_in(peer, Path(request.pwd))
        address = self._engines.address(peer)
        parent = await asyncio.to_thread(listening, address)
        child = await asyncio.create_subprocess_exec(
            *(_python(request), "-u", "-P", str(_PROGRAM), address, *([] if parent is None else [str(parent)])),
            cwd=request.pwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        running = self._running.setdefault(address, set())
        running.add(child)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            child.stdin.write(request.SerializeToString())
            child.stdin.write_eof()
            log = self._engines.log(peer)
            said = asyncio.gather(
                _forward(child.stdout, log, next(self._streams)), _forward(child.stderr, log, next(self._streams))
            )
            await asyncio.shield(said)
            status = await child.wait()
        except asyncio.CancelledError:
            # The engine does not wait for a program that it had interrupted. What that still says is heard, as the real host's is.
            with suppress(TimeoutError):
                await asyncio.wait_for(said, _INTERRUPTED_SECONDS)
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            raise
        finally:
            running.discard(child)
        if status == SHOWN:
            return language_pb2.RunResponse(bail=True)
        if status != 0:
            return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {status}")
        return language_pb2.RunResponse()


def _python(request: language_pb2.RunRequest) -> str:
    """The interpreter of the project's `virtualenv` option where there is one, else the one that runs this."""
    named = json_format.MessageToDict(request.info.options).get("virtualenv")
    if isinstance(named, str):
        python = Path(request.info.root_directory) / named / "bin" / "python"
        if python.exists():
            return str(python)
    return sys.executable


async def _forward(stream: asyncio.StreamReader, log: Log | None, identity: int) -> None:
    """Sends what the program prints to the engine, line by line, as the engine does itself with a plugin's output."""
    async for line in stream:
        text = line.decode(errors="replace")
        if log is not None and text.strip():
            await log.write(text, stream=identity)
