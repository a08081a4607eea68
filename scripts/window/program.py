"""The program that an engine runs, started ahead of it: its libraries take a second to load, in which writes would be refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

MODULE = "scripts.window.serve_program"


class Program:
    """One process for one `up`, whose engine waits for `answer`. It outlives this one if an engine is at work with it, and else ends with it. `modules` are loaded
    besides what every program imports."""

    def __init__(self, project: Path, modules: Sequence[str] = ()) -> None:
        # A session of its own: a terminal's ^C is for the window, which decides what it means.
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, *modules],
            cwd=project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def address(self) -> str | None:
        """Where an engine finds it, once it is loaded; None if it does not load: the engine then starts it itself, and says why."""
        assert self.process.stdout is not None
        port = self.process.stdout.readline().strip()
        return f"127.0.0.1:{port}" if port else None

    def answer(self) -> None:
        """Answer the engine that asks about it, and run when it says so."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it did not load, or is gone: then its engine says so
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def close(self) -> None:
        """End it, whatever it does: its engine is gone, or it has none."""
        with self.process:
            self.process.kill()
