"""What the processes of one command used: memory at its highest, and processor time, read from the kernel while they run."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.bench.fleets.found import Process

_EVERY_SECONDS = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")
# How the stand-in for the language host starts a program.
_PROGRAM = str(Path("rehearsal") / "plugins" / "program.py")


@dataclass
class Usage:
    """The last that was seen of each; of a process that ends between two looks, a fiftieth of a second may be missing."""

    engine: Process = field(default_factory=lambda: Process(memory_mib=0, processor_seconds=0))
    program: Process = field(default_factory=lambda: Process(memory_mib=0, processor_seconds=0))
    stand_ins: Process = field(default_factory=lambda: Process(memory_mib=0, processor_seconds=0))


class Watch:
    """Looks at an engine, at the program that this process starts for it, and at this process, until the engine has ended."""

    def __init__(self, engine: subprocess.Popen[str]) -> None:
        self.usage = Usage()
        self._engine = engine
        self._program = 0
        self._began = time.process_time()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> Usage:
        """What was used; the engine has ended."""
        self._thread.join()
        own = _used(os.getpid())
        if own is not None:
            spent = time.process_time() - self._began
            self.usage.stand_ins = Process(memory_mib=own.memory_mib, processor_seconds=round(spent, 2))
        return self.usage

    def _look(self) -> None:
        while self._engine.poll() is None:
            self.usage.engine = _used(self._engine.pid) or self.usage.engine
            self._program = self._program or _program()
            if self._program:
                self.usage.program = _used(self._program) or self.usage.program
            time.sleep(_EVERY_SECONDS)


def _used(pid: int) -> Process | None:
    """None once it is gone, or has nothing left but its exit status."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        # The name in parentheses may hold spaces.
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    highest = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    if not highest:
        return None
    return Process(
        memory_mib=round(int(highest[0]) / 1024, 1), processor_seconds=(int(stat[11]) + int(stat[12])) / _TICKS
    )


def _program() -> int:
    """The program's process among those that this one has started; 0 if there is none yet."""
    for children in Path("/proc/self/task").glob("*/children"):
        try:
            pids = children.read_text().split()
        except OSError:
            continue
        for pid in pids:
            try:
                arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            except OSError:
                continue
            if any(argument.endswith(_PROGRAM) for argument in arguments):
                return int(pid)
    return 0
