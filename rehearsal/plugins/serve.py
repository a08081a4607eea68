"""Holds the stand-in plugins on loopback ports, and says in variables how the engine reaches them.

`python -m rehearsal.plugins.serve --env-file FILE` serves until it is ended, and writes FILE once it is ready;
`source FILE`, and the plain `pulumi` works. With `--lab FOLDER` instances at AWS are hosts of the lab that is up there.
"""

import argparse
import asyncio
import os
import shlex
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from pulumi.runtime.proto import language_pb2_grpc, provider_pb2_grpc

from . import installed
from .aws import AwsProvider
from .cloud import Cloud
from .command import CommandProvider
from .engines import Engines
from .language import PythonHost
from .provider import Provider
from .ssh import SshTransport
from .transport import Transport

# The largest message that the engine itself sends and takes.
_GRPC_OPTIONS = (("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20))
_QUIET = {"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true", "PULUMI_SKIP_UPDATE_CHECK": "true"}


@dataclass(frozen=True)
class Wanted:
    """Which stand-ins to serve."""

    command: bool = True
    language: bool = True


def missing(engine: Path, home: Path) -> Wanted:
    """Those of which the real plugin is not there."""
    return Wanted(installed.command_plugin(home) is None, installed.language_host(engine) is None)


@asynccontextmanager
async def served(transport: Transport, wanted: Wanted, cloud: Cloud | None = None) -> AsyncIterator[dict[str, str]]:
    """Serves on the running loop; the variables that the engine needs to find the stand-ins. AWS is served if there is a `cloud`,
    whatever is installed: the real plugin would make real machines."""
    engines = Engines()
    variables = dict(_QUIET)
    servers = []
    providers: dict[str, Provider] = {}
    if wanted.language:
        server = grpc.aio.server(options=_GRPC_OPTIONS)
        language_pb2_grpc.add_LanguageRuntimeServicer_to_server(PythonHost(engines), server)
        variables["PULUMI_DEBUG_LANGUAGES"] = f"python:{server.add_insecure_port('127.0.0.1:0')}"
        servers.append(server)
    if wanted.command:
        providers["command"] = CommandProvider(transport, engines)
    if cloud is not None:
        providers["aws"] = AwsProvider(cloud, engines)
    ports = {}
    for name, provider in providers.items():
        server = grpc.aio.server(options=_GRPC_OPTIONS)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
        ports[name] = server.add_insecure_port("127.0.0.1:0")
        servers.append(server)
    if ports:
        variables["PULUMI_DEBUG_PROVIDERS"] = ",".join(f"{name}:{port}" for name, port in ports.items())
    for server in servers:
        await server.start()
    try:
        yield variables
    finally:
        for server in servers:
            await server.stop(grace=None)
        await engines.close()


@contextmanager
def serving(transport: Transport, wanted: Wanted | None = None, cloud: Cloud | None = None) -> Iterator[dict[str, str]]:
    """Serves on a loop of its own, in a thread, while the block runs; every stand-in unless told otherwise."""
    ready: Future[dict[str, str]] = Future()
    done = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(_hold(transport, wanted or Wanted(), cloud, ready, done)), name="stand-in plugins"
    )
    thread.start()
    try:
        yield ready.result()
    finally:
        done.set()
        thread.join()


async def _hold(
    transport: Transport,
    wanted: Wanted,
    cloud: Cloud | None,
    ready: "Future[dict[str, str]]",
    done: threading.Event,
) -> None:
    try:
        async with served(transport, wanted, cloud) as variables:
            ready.set_result(variables)
            await asyncio.to_thread(done.wait)
    except Exception as error:
        if ready.done():
            raise
        ready.set_exception(error)


async def _serve(env_file: Path, wanted: Wanted, cloud: Cloud | None) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with served(SshTransport(), wanted, cloud) as variables:
        text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
        unfinished = env_file.with_name(env_file.name + ".new")
        unfinished.write_text(text)
        unfinished.replace(env_file)
        await ended.wait()


def _lab_cloud(root: Path) -> Cloud:
    # Only here: the plugins do without the lab, as its tests do.
    from rehearsal.lab.instances import LabMachines  # noqa: PLC0415
    from rehearsal.lab.place import Place  # noqa: PLC0415

    return Cloud(LabMachines(Place(root)))


def main(arguments: list[str]) -> int:
    """The command line; exit status 0."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.plugins.serve", description=__doc__)
    parser.add_argument("--env-file", type=Path, required=True, help="file to write the variables to, once ready")
    parser.add_argument(
        "--engine", type=Path, default=Path(), help="folder of the engine, beside which a real language host may be"
    )
    parser.add_argument("--lab", type=Path, help="folder of the lab whose hosts instances at AWS are")
    options = parser.parse_args(arguments)
    wanted = missing(options.engine, installed.pulumi_home())
    asyncio.run(_serve(options.env_file, wanted, _lab_cloud(options.lab) if options.lab else None))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
