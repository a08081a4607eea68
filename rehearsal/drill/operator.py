"""What an operator types at the lab's stack: commands that run to their end, and commands that somebody ends half-way."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import IO

import yaml

from rehearsal.drill.expect import expect
from rehearsal.stage import Stage

# Longer than any command of these stories takes on two cores that others use too.
SECONDS = 240.0
# How the engine, and scripts.window, say that a step is done.
DONE = re.compile(r"command:\S+ \S+ (created|updated|replaced)|: \S+ done in ")


@dataclass(frozen=True)
class Ended:
    """How a command ended, what it said, when it began (seconds since the epoch), and when each line came."""

    status: int
    lines: tuple[tuple[float, str], ...]
    began: float

    @property
    def said(self) -> str:
        """All that it said."""
        return "".join(line for _, line in self.lines)

    @property
    def steps(self) -> str:
        """When each step was done, in seconds from the beginning: where the time went."""
        done = [(at, line) for at, line in self.lines if DONE.search(line)]
        return "\n".join(f"{at - self.began:6.2f} s {line.strip()}" for at, line in done)

    def done(self) -> Ended:
        """Itself, if it succeeded."""
        expect(self.status == 0, f"expected success, found exit status {self.status}: {self.said}")
        return self

    def failed(self) -> str:
        """What it said, if it failed."""
        expect(self.status != 0, f"expected a refusal, found success: {self.said}")
        return self.said

    def since(self, began: float) -> Ended:
        """The same, its seconds counted from another moment: that of a ^C."""
        return replace(self, began=began)


class Running:
    """A command under way, and what it has said so far."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.began = time.time()
        self._child = child
        self._lines: list[tuple[float, str]] = []
        self._news = threading.Condition(threading.RLock())
        pipes = [pipe for pipe in (child.stdout, child.stderr) if pipe]
        self._readers = [threading.Thread(target=self._read, args=(pipe,)) for pipe in pipes]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                with self._news:
                    self._lines.append((time.time(), line))
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def said(self) -> str:
        """All that it has said."""
        with self._news:
            return "".join(line for _, line in self._lines)

    def until(self, *words: str) -> str:
        """Wait for a line with all these words; the line. Fails if the command ends without it."""
        deadline, looked = time.monotonic() + SECONDS, 0
        with self._news:
            while True:
                for _, line in self._lines[looked:]:
                    if all(word in line for word in words):
                        return line
                looked = len(self._lines)
                silent = not any(reader.is_alive() for reader in self._readers)
                expect(not silent and time.monotonic() < deadline, f"never said {words}:\n{self.said}")
                self._news.wait(0.2)

    def kill(self) -> None:
        """SIGKILL: as when the operator's machine dies."""
        self._child.kill()
        self.end()

    def interrupt(self) -> None:
        """^C."""
        self._child.send_signal(signal.SIGINT)

    def end(self) -> Ended:
        """Wait for its end."""
        try:
            self._child.wait(SECONDS)
        finally:
            if self._child.poll() is None:
                self._child.kill()
            for reader in self._readers:
                reader.join()
        return Ended(self._child.returncode, tuple(self._lines), self.began)


class Operator:
    """Somebody at the stack of this stage."""

    def __init__(self, stage: Stage) -> None:
        self._pulumi = stage.pulumi
        self._limits = dict(stage.fleet.limits)
        self._last: Running | None = None
        self._file = stage.pulumi.project / f"Pulumi.{stage.pulumi.stack}.yaml"

    @property
    def round(self) -> int:
        """The stack config's, which scripts.window raises too."""
        return int(yaml.safe_load(self._file.read_text())["config"]["pgleap:round"])

    def limit(self, **limits: int) -> None:
        """Set `limits` of the stack; those that are not named are the fleet's, or pgleap's own."""
        self._pulumi.configure({"pgleap:limits": {**self._limits, **limits}})

    def begin(self, phase: str, *, higher: bool = False) -> Running:
        """Ask for `phase`, in a higher round if it is told so, and begin `pulumi up`."""
        self._pulumi.configure({"pgleap:phase": phase, "pgleap:round": self.round + higher})
        return self._running(self._pulumi.start("up", "--yes", "--skip-preview"))

    def raise_round(self) -> None:
        """Ask for a higher round, so that every step looks again."""
        self._pulumi.configure({"pgleap:round": self.round + 1})

    def up(self, phase: str, *, higher: bool = False) -> Ended:
        """The same, to its end."""
        return self.begin(phase, higher=higher).end()

    def back_by_hand(self) -> Ended:
        """The way back as the README has it."""
        asked = ("--config", "phase=prepare", "--config", f"round={self.round + 1}")
        return self._running(self._pulumi.start("up", "--yes", "--skip-preview", *asked)).end()

    def cancel(self) -> None:
        """`pulumi cancel`: take away the lock of an engine that was killed."""
        self._pulumi.cancel().checked()

    def window(self, *options: str) -> Running:
        """`python -m scripts.window`."""
        argv = [sys.executable, "-m", "scripts.window", *options]
        pipe = subprocess.PIPE
        return self._running(
            subprocess.Popen(
                argv,
                cwd=self._pulumi.project,
                env={**self._pulumi.variables(), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
                text=True,
            )
        )

    def settle(self) -> None:
        """End what a failed drill left running, and take away the lock that it left."""
        if self._last is not None:
            self._last.kill()
        self._pulumi.cancel()  # which fails where there is no lock

    def _running(self, child: subprocess.Popen[str]) -> Running:
        self._last = Running(child)
        return self._last
