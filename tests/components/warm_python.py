"""A python that has Pulumi's libraries and the project's modules loaded already: half of what a `pulumi` command costs here.

The language host starts a program with the project's `.venv/bin/python`. In these tests that is a small client: it hands its
streams and arguments to a process that has imported everything and forks for each program. A program still runs in a process
of its own, from its own first line on.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({address!r})
    socket.send_fds(asked, [json.dumps([os.getcwd(), sys.argv[1:]]).encode()], [0, 1, 2])
    program = int.from_bytes(asked.recv(8), "big")
    signal.signal(signal.SIGINT, lambda *_: os.kill(program, signal.SIGINT))
    status = asked.recv(1)
sys.exit(status[0] if status else 1)
"""


@contextmanager
def warm_python(sources: Path) -> Iterator[None]:
    """While the block runs, `.venv/bin/python` below `sources` starts programs of these sources warm."""
    address = sources.parent / f"{sources.name}.socket"
    client = sources / ".venv" / "bin" / "python"
    client.parent.mkdir(parents=True)
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen()
        command = [sys.executable, "-u", "-P", __file__, str(listening.fileno())]
        variables = {**os.environ, "PYTHONPATH": str(sources)}
        server = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listening.fileno()], env=variables)
    try:
        yield
    finally:
        server.communicate()


def serve(listening: socket.socket) -> None:
    """Fork for every program that is asked for, until whoever started this process is gone; nobody waits for the children."""
    while select.select([listening, sys.stdin], [], [])[0] == [listening]:
        asked, _ = listening.accept()
        message, streams, _, _ = socket.recv_fds(asked, 1 << 16, 3)
        if os.fork() == 0:
            listening.close()
            folder, arguments = json.loads(message)
            threading.Thread(target=end_with, args=(asked,), daemon=True).start()
            asked.send(os.getpid().to_bytes(8, "big"))
            tell_status(asked)
            os._exit(run(folder, arguments, streams))
        for stream in streams:
            os.close(stream)
        asked.close()


def tell_status(asked: socket.socket) -> None:
    """Whoever ends this process at once, ends the one who asked with the same status."""
    end = os._exit

    def ended(status: int) -> NoReturn:
        with suppress(OSError):
            asked.send(bytes([status]))
        end(status)

    os._exit = ended


def end_with(asked: socket.socket) -> None:
    """The one who asked is killed with its engine, and a program that waits for that engine would wait for ever."""
    asked.recv(1)
    os._exit(1)


def run(folder: str, arguments: list[str], streams: list[int]) -> int:
    """What python would do with these arguments, a program's path or `-m` and a module, other options left out; the exit status."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    sys.argv = [argument for argument in arguments if not argument.startswith("-")]
    start = runpy.run_module if arguments[0] == "-m" else runpy.run_path
    try:
        start(sys.argv[0], run_name="__main__")
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for module in ("components.fleet", "components.stack_config"):
        importlib.import_module(module)
    serve(socket.socket(fileno=int(sys.argv[1])))
