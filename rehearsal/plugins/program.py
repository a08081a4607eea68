"""Runs a Pulumi program the way the real Python language host does; started by language.py as a process of its own.

Reads the engine's RunRequest from its standard input. Its arguments are the engine's address and, where that is known, the
engine's process: the program takes it for its parent's, for under the real language host programs descend from their engine.
Exit status: 0; 32 if the failure was shown to the user already; 1 if the program ended with a RunError, whose message alone
is shown.
"""

import asyncio
import logging
import os
import runpy
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pulumi
import pulumi.runtime
from pulumi.runtime.proto import language_pb2

SHOWN = 32


def main(engine_address: str) -> int:
    """Runs the program that the request on the standard input names; the exit status."""
    request = language_pb2.RunRequest.FromString(sys.stdin.buffer.read())
    pulumi.runtime.set_all_config(dict(request.config), list(request.configSecretKeys))
    parallel = max(request.parallel, 1)
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=request.project,
            stack=request.stack,
            monitor=request.monitor_address,
            engine=engine_address,
            parallel=parallel,
            dry_run=request.dryRun,
            organization=request.organization,
            root_directory=request.info.root_directory,
        )
    )
    entry = request.info.entry_point or "."
    sys.argv = [entry, *request.args]
    os.chdir(request.pwd)
    # Futures that nobody looks at after a failure are no news to the user.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def program() -> None:
        runpy.run_path(entry, run_name="__main__")

    with ThreadPoolExecutor(max_workers=parallel * 4) as executor:
        loop.set_default_executor(executor)
        try:
            loop.run_until_complete(pulumi.runtime.run_in_stack(program))
        except pulumi.RunError as error:
            pulumi.log.error(str(error))
            return 1
        except Exception:
            pulumi.log.error("Program failed with an unhandled exception:\n" + _users_part(Path(entry)))
            return SHOWN
    return 0


def _users_part(entry: Path) -> str:
    """The traceback of the exception under way, from the program's own first line on."""
    main_file = entry.resolve() / "__main__.py" if entry.is_dir() else entry.resolve()
    frames = traceback.extract_tb(sys.exc_info()[2])
    for index, frame in enumerate(frames):
        if Path(frame.filename).resolve() == main_file:
            return traceback.format_exc(limit=index - len(frames))
    return traceback.format_exc()


if __name__ == "__main__":
    # Whoever serves the plug-ins in the background has them ignore it, and what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[2:]:
        os.getppid = partial(int, sys.argv[2])
    status = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(status)
