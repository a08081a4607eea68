"""The `up` that follows, begun while the one before it is at work, and held back until it is wanted.

An engine takes most of a second before it looks at a stack: its own start, and the key that it derives from the passphrase (or the call to
a KMS). Then it waits for what the program's host says of itself (`About`), and only after that takes the lock and reads the state
(pulumi 3.250: cmd/pulumi/operations/up.go, `meta.Result`, then `backend.UpdateStack`). So the program does not answer until the `up` is
wanted. An engine that does not wait for it is refused: by the lock, and by the program, which runs nothing until then.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.window.course import Course
from scripts.window.engine import Engine, EngineError, Held
from scripts.window.events import Event, stream
from scripts.window.record import Record

# Seconds that its engine gets to write phase and round into its config, which it does at its very beginning.
CONFIG_SECONDS = 2.0
POLL_SECONDS = 0.01


class Ahead:
    """One such `up`, whose account is `record`. Its events go to `tell`. The stack's config file is touched only once it is wanted: until then the engine has a copy."""

    def __init__(self, engine: Engine, record: Record, tell: Callable[[Event], None]) -> None:
        self._engine = engine
        self.record = record
        self._folder = Path(tempfile.mkdtemp(prefix="pgleap-"))
        self._config = self._folder / engine.config_file().name
        self._found = engine.config_file().read_bytes()
        self._config.write_bytes(self._found)
        self.events = stream(tell)
        pool = ThreadPoolExecutor()
        self._begun = pool.submit(
            engine.begin_held, record.course.phase, record.course.round, self.events, self._config
        )
        pool.shutdown(wait=False)

    def wanted(self, course: Course) -> subprocess.Popen[str] | None:
        """Have it go on, if it goes where `course` does from a config that is still the same; else end it."""
        same = (course.phase, course.round) == (self.record.course.phase, self.record.course.round)
        held = self._held() if same else None
        if held is None or not self._has_asked(held.up):
            self.end()
            return None
        self.record.course = course
        self._engine.config_file().write_bytes(self._config.read_bytes())
        self._engine.go_on(held.program)
        shutil.rmtree(self._folder, ignore_errors=True)
        return held.up

    def _has_asked(self, up: subprocess.Popen[str]) -> bool:
        """Whether its engine waits, with a config that holds what is wanted and else what the stack's file holds now."""
        until = time.monotonic() + CONFIG_SECONDS
        while self._config.read_bytes() == self._found and up.poll() is None and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        waits = up.poll() is None and self._config.read_bytes() != self._found
        return waits and self._engine.config_file().read_bytes() == self._found

    def end(self) -> None:
        """End it, as soon as it has begun: nobody waits for that. It holds no lock, and has done nothing."""
        self._begun.add_done_callback(lambda _: self._end())

    def _end(self) -> None:
        held = self._held()
        if held is not None:
            held.up.kill()
            held.up.communicate()
            held.program.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _held(self) -> Held | None:
        """None where none could be begun: the one that is begun in its place says why."""
        try:
            return self._begun.result()
        except EngineError:
            return None
