"""The clock of the outage, as the steps tell it. Pure: it is told what happened, and when.

It is the operator's view. What clients see differs by the time that a word takes from a server to here, and by what their
pools hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from agent.states import Phase
from components.settings import Settings
from scripts.window.deadlines import CLIENT_GATE, DATABASE, HOSTS_FILE, ONLINE_SESSIONS, SESSIONS

# What the agent's seals say before they begin (agent/old_primary_gate.py, target_gate.py).
SEALING = "from here on writes are refused"


class What(StrEnum):
    """What a step was heard doing."""

    BEGAN = "began"
    SAID = "said"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Heard:
    """A step's word: `at` in seconds of the operator's monotonic clock, `step` by its name."""

    at: float
    step: str
    what: What
    text: str = ""


@dataclass(frozen=True)
class Steps:
    """The names of the steps on which writes depend. `own_sessions` are those of each online server by itself, ended as soon as its hosts
    file has moved; `online_sessions` what is left of all of them."""

    database: str
    primary_gate: str
    target_gate: str
    online_hosts: frozenset[str]
    online_sessions: frozenset[str]
    own_sessions: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> Steps:
        return cls(
            database=f"{settings.target.name}-{DATABASE}",
            primary_gate=f"{settings.primary.name}-{CLIENT_GATE}",
            target_gate=f"{settings.target.name}-{CLIENT_GATE}",
            online_hosts=frozenset(f"{server.name}-{HOSTS_FILE}" for server in settings.online),
            online_sessions=frozenset(f"{server.name}-{ONLINE_SESSIONS}" for server in settings.replicas),
            own_sessions=frozenset(
                f"{replica.name}-{SESSIONS}-{server.name}"
                for replica in settings.replicas
                for server in settings.online
            ),
        )


@dataclass
class Clock:
    """When writes began to be refused and were accepted again; None for what has not happened.

    `led_away`: the first online server was led to DB_B. `refused`: the database that took writes began to refuse. `accepted`: the first
    online server was led to a database that is open. `accepted_by_all`: the last one was, and their pools' idle sessions on the
    replica that only reads were ended.
    """

    steps: Steps
    led_away: float | None = None
    refused: float | None = None
    accepted: float | None = None
    accepted_by_all: float | None = None
    _open: bool = False
    _led_back: set[str] = field(default_factory=set)

    @property
    def first_refused(self) -> float | None:
        """When the first write may have been refused (design: "window"): an online server was led to DB_B, or, without one, the seal."""
        return self.refused if self.led_away is None else self.led_away

    def begin_refused(self, at: float) -> None:
        """Writes are refused from before: the window goes on with an earlier one's work."""
        self.refused = at

    def hear(self, phase: Phase, heard: Heard) -> None:
        """A step on the way to `phase` did something."""
        if phase is Phase.READONLY:
            self._hear_readonly(heard)
        elif phase is Phase.UPGRADE:
            self._hear_target_sealed(heard)
        elif phase is Phase.PREPARE:
            self._hear_reopening(heard, self.steps.primary_gate)
        elif phase is Phase.CUTOVER:
            self._hear_reopening(heard, self.steps.target_gate)

    def _hear_readonly(self, heard: Heard) -> None:
        if heard.step in self.steps.online_hosts and heard.what is What.DONE and self.led_away is None:
            self.led_away = heard.at
        if heard.step != self.steps.primary_gate:
            return
        # Until the gate says when, its beginning counts: it may fail before it says anything.
        if self.refused is None or (heard.what is What.SAID and SEALING in heard.text):
            self.refused = heard.at

    def _hear_target_sealed(self, heard: Heard) -> None:
        """On the way back from cutover DB_A begins to refuse. On the way there its gate has nothing to say."""
        if heard.step in self.steps.online_hosts and heard.what is What.DONE and self.led_away is None:
            self.led_away = heard.at
        if heard.step == self.steps.target_gate and heard.what is What.SAID and SEALING in heard.text:
            self.refused = heard.at
            self.accepted = self.accepted_by_all = None
            self._open = False
            self._led_back.clear()

    def _hear_reopening(self, heard: Heard, gate: str) -> None:
        if heard.what is not What.DONE:
            return
        if heard.step == gate:
            self._open = True
            if not self.steps.online_hosts:
                self.accepted = self.accepted_by_all = heard.at
        elif self._open and heard.step in self.steps.online_hosts:
            self._led_back.add(heard.step)
            self.accepted = self.accepted if self.accepted is not None else heard.at
            if self._led_back == self.steps.online_hosts:
                self.accepted_by_all = heard.at
        elif self.accepted_by_all is not None and heard.step in self.steps.online_sessions:
            self.accepted_by_all = heard.at

    def seconds_refused(self, now: float) -> float | None:
        """How long writes have been refused, or were; None if they never were."""
        if self.refused is None:
            return None
        return (now if self.accepted is None else self.accepted) - self.refused

    def seconds_led_away(self, now: float) -> float | None:
        """From the first online server led to DB_B until all are free of it; None if none was led away."""
        if self.led_away is None:
            return None
        return (now if self.accepted_by_all is None else self.accepted_by_all) - self.led_away
