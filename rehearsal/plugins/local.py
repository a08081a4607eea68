"""Commands that run on the operator's own machine (`command:local:Command`)."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .transport import Listener

_SHELL = ("/bin/sh", "-c")


async def run(
    command: str,
    interpreter: Sequence[str],
    folder: Path,
    stdin: str,
    environment: Mapping[str, str],
    listener: Listener,
) -> str:
    """Runs `command` in `folder`; empty, or how it failed, as the real plugin says it.

    `environment` comes on top of this process's own. A cancelled run kills its process.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            *(interpreter or _SHELL),
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        return f"fork/exec {(interpreter or _SHELL)[0]}: {os.strerror(error.errno or 0).lower()}"
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        await asyncio.gather(
            _feed(child, stdin), _hear(child.stdout, listener.stdout), _hear(child.stderr, listener.stderr)
        )
        status = await child.wait()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            child.kill()
        raise
    if status < 0:
        return f"signal: {signal.strsignal(-status)}".lower()
    return f"exit status {status}" if status else ""


async def _feed(child: asyncio.subprocess.Process, stdin: str) -> None:
    if child.stdin is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        child.stdin.write(stdin.encode())
        await child.stdin.drain()
    child.stdin.close()


async def _hear(stream: asyncio.StreamReader, tell: Callable[[bytes], None]) -> None:
    while chunk := await stream.read(32768):
        tell(chunk)
