"""The stack of a rehearsal: `pulumi` in the foreground, which shows what it does as it always does."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

from agent.states import Phase
from components.config_errors import NAMESPACE
from scripts.window.engine import PROGRAM, Engine, EngineError


class RehearsalEngine(Engine):
    """`pulumi up` and `pulumi destroy` of one stack, at the terminal that this was started from."""

    def go(self, phase: Phase, round_: int) -> None:
        """Bring the stack to `phase`, which is also written into its config file. Raises EngineError."""
        self._shown(
            "up", "--yes", "--skip-preview", "--suppress-outputs",
            "--config", f"{NAMESPACE}:phase={phase}", "--config", f"{NAMESPACE}:round={round_}",
        )  # fmt: skip

    def destroy(self) -> None:
        """Take away what the rehearsal made; the stack and its config stay. Raises EngineError."""
        self._shown("destroy", "--yes", "--skip-preview", "--suppress-outputs")

    def measured(self) -> dict[str, Any]:
        """What the stack says that it took. Raises EngineError."""
        outputs: dict[str, Any] = json.loads(self._said("stack", "output", "--json", "--stack", self.stack))
        return dict(outputs.get("measured") or {})

    def _shown(self, command: str, *options: str) -> None:
        # A terminal's ^C reaches the engine too, which ends its work in order: it is waited for.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            done = subprocess.run([PROGRAM, command, *options, "--stack", self.stack], cwd=self.project, check=False)
        finally:
            signal.signal(signal.SIGINT, before)
        if done.returncode != 0:
            raise EngineError(f"`{PROGRAM} {command}` ended with {done.returncode}; what it said stands above.")
