"""How long a step of the window may take. Past it the engine is ended: neither the engine nor its plugins would ever do so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent.states import Phase
from components.aws_settings import LoadBalancer
from components.phases import TABLE
from components.settings import Limits

# Seconds. What a step waits for by itself, as the stack's limits say, comes on top.
ANY_STEP = 60.0
UPGRADE_MARGIN = 30.0
# A new replica's instance, and its first boot: nobody waits for them but the last step (components/step.py, FirstContact).
MACHINE = 1500.0
# Seconds for the engine to begin a step while none is under way: it starts, waits for the program, saves its state.
NO_STEP = 60.0

# The ends of the steps' names: a server's name stands before them.
DATABASE = "database"
CLIENT_GATE = "client-gate"
HOSTS_FILE = "hosts-file"
SESSIONS = "sessions"
ONLINE_SESSIONS = f"{SESSIONS}-online"
LOAD_BALANCER = "load-balancer"
MACHINES = ("-instance", "-volume", "-attachment", "-boot")


class DeadlineError(ValueError):
    """An option that names no deadline; the message says what was expected."""


@dataclass(frozen=True)
class Deadlines:
    """Seconds for each step. `given`: by the end of the step's name, as the operator wants it; "" stands for all others. `target` is DB_A's
    name."""

    limits: Limits
    given: Mapping[str, float] = field(default_factory=dict)
    load_balancer: LoadBalancer = field(default_factory=LoadBalancer)
    target: str = ""

    def of(self, step: str, phase: Phase) -> float:
        """Seconds for `step` on the way to `phase`."""
        for end, seconds in self.given.items():
            if end and step.endswith(f"-{end}"):
                return seconds
        if step.endswith(f"-{DATABASE}"):
            return self._database(phase)
        if step.endswith(MACHINES):
            return MACHINE
        return self.given.get("", ANY_STEP) + self._waits(step, phase)

    def _database(self, phase: Phase) -> float:
        limits = self.limits
        if phase is Phase.PREPARE:  # writes are accepted again; a base backup may be waited for
            return limits.base_backup_seconds + limits.stream_seconds + limits.upgrade_seconds + UPGRADE_MARGIN
        return limits.upgrade_seconds + UPGRADE_MARGIN

    def _waits(self, step: str, phase: Phase) -> float:
        """What a step of this kind waits for by itself."""
        if step.endswith(f"-{LOAD_BALANCER}"):
            inside = TABLE[phase].drained_in_load_balancer
            return self.load_balancer.healthy_seconds if inside else self.load_balancer.drain_seconds
        if step.endswith(f"-{CLIENT_GATE}") or f"-{SESSIONS}-" in step:
            return self.limits.grace_seconds
        if not step.endswith("-ready"):
            return 0.0
        # On the way to readonly the schema may have to be tried again on DB_A; nothing is refused yet.
        tries = phase is Phase.READONLY and step == f"{self.target}-ready"
        tried = self.limits.upgrade_seconds if tries else 0.0
        return self.limits.lag_seconds + tried


def read(options: Iterable[str]) -> dict[str, float]:
    """Deadlines as an operator types them: `20`, or `hosts-file=20`. Raises DeadlineError."""
    given = {}
    for option in options:
        end, _, seconds = option.rpartition("=")
        try:
            given[end] = float(seconds)
        except ValueError:
            raise DeadlineError(f"Expected: seconds, such as 20 or {HOSTS_FILE}=20. Found: {option}") from None
        if not 0 < given[end] < float("inf"):
            raise DeadlineError(f"Expected: more than 0 seconds. Found: {option}")
    return given
