"""Commands that run on the operator's own machine (`command:local:Command`)."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress

from .transport import Listener, LocalRun

_SHELL = ("/bin/sh", "-c")


class Here:
    """The part of a Transport that is this machine."""

    async def run_here(self, run: LocalRun, listener: Listener) -> str:
        """See Transport. A cancelled run kills its process."""
        return await _run(run, listener)


async def _run(run: LocalRun, listener: Listener) -> str:
    words = [*(run.interpreter or _SHELL), run.command]
    program = shutil.which(words[0])
    if program is None:
        if "/" in words[0]:
            return f"fork/exec {words[0]}: no such file or directory"
        return f'exec: "{words[0]}": executable file not found in $PATH'
    if not run.folder.is_dir():
        return f"chdir {run.folder}: no such file or directory"
    try:
        child = await asyncio.create_subprocess_exec(
            *words,
            executable=program,
            cwd=run.folder,
            env={**os.environ, **run.environment},
            stdin=asyncio.subprocess.PIPE if run.stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return f"fork/exec {program}: {os.strerror(error.errno or 0).lower()}"
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        await asyncio.gather(
            _feed(child, run.stdin), _hear(child.stdout, listener.stdout), _hear(child.stderr, listener.stderr)
        )
        status = await child.wait()
    except asyncio.CancelledError:
        # Its whole group: a child of its shell would keep the pipes open.
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
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
