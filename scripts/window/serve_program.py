"""The stack's program in a process of its own, its libraries loaded, for one engine that connects: see program.py beside this.

Its arguments are modules to load besides. It prints its port, serves one run, and ends; also, if none has begun, when its standard
input ends. An engine that asks about it is answered once a line has come there, and no run begins before (see ahead.py).
"""

from __future__ import annotations

import importlib
import runpy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

# What the program imports; that takes a second, and is done here before an engine asks.
import components.agent_program
import components.fleet
import components.plan
import components.stack_config  # noqa: F401

HOST = "127.0.0.1"
PROGRAM = "__main__.py"
# Seconds for the engine to take the answer.
ANSWER_SECONDS = 5.0
NOT_WANTED = "this `up` was begun ahead, and was not wanted in the end"


class OneRun(LanguageServer):
    """Serves what the SDK's own server does for a program of the Automation API, and knows when that is over."""

    def __init__(self, program: Path) -> None:
        super().__init__(self._program)
        self._file = program
        self.begun = False
        self.over = threading.Event()
        self._wanted = False
        self._told = threading.Event()

    def About(self, request: language_pb2.AboutRequest, context: Any) -> Any:  # noqa: N802 - the protocol names it
        self._told.wait()
        if not self._wanted:
            context.abort(grpc.StatusCode.UNAVAILABLE, NOT_WANTED)
        return super().About(request, context)  # type: ignore[no-untyped-call]

    def Run(self, request: language_pb2.RunRequest, context: Any) -> Any:  # noqa: N802 - the protocol names it
        if not self._wanted:
            return language_pb2.RunResponse(error=NOT_WANTED)
        self.begun = True
        try:
            return super().Run(request, context)  # type: ignore[no-untyped-call]
        finally:
            self.over.set()

    def _program(self) -> None:
        runpy.run_path(str(self._file), run_name="__main__")

    def listen(self) -> None:
        """Wait for the line, and end with whoever started this process, unless an engine is at work: that one goes on to its end."""
        self._wanted = bool(sys.stdin.readline())
        self._told.set()
        sys.stdin.read()
        if not self.begun:
            self.over.set()


def main() -> None:
    """Serve one run."""
    for module in sys.argv[1:]:
        importlib.import_module(module)
    program = OneRun(Path.cwd() / PROGRAM)
    server = grpc.server(ThreadPoolExecutor())
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(program, server)
    print(server.add_insecure_port(f"{HOST}:0"), flush=True)
    server.start()
    threading.Thread(target=program.listen, daemon=True).start()
    program.over.wait()
    server.stop(ANSWER_SECONDS).wait()


if __name__ == "__main__":
    main()
