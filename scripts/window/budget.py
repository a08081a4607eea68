"""The forecast held against the clock while the window goes: what has passed, what is left, and whether the stack's outageBudget
allows it. Pure but for the time of day in what is kept: it is told what happened, and when."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.states import Phase
from scripts.forecast.forecast import Forecast
from scripts.forecast.parts import Span, laid_out, part_name
from scripts.forecast.run import Run
from scripts.window.clock import Clock, Steps
from scripts.window.course import Way
from scripts.window.record import Record


@dataclass(frozen=True)
class Ahead:
    """Seconds of refused writes that have passed, and that are left; None where there is no forecast."""

    passed: float
    left: float | None
    budget: int | None

    @property
    def whole(self) -> float:
        return self.passed + (self.left or 0.0)

    @property
    def words(self) -> str:
        said = [f"about {self.left:.0f} s left"] if self.left is not None else []
        if self.budget is not None:
            said.append(f"budget {self.budget} s")
        return ", ".join(said)


@dataclass(frozen=True)
class Budget:
    """`seconds` that the stack allows, None for any number; `roles` of the servers by name."""

    seconds: int | None
    forecast: Forecast | None
    roles: Mapping[str, str]

    def ahead(self, now: float, records: Sequence[Record], clock: Clock) -> Ahead | None:
        """Where the outage stands; None on the way back, before writes are refused, and once they are accepted again."""
        course = records[-1].course
        since = clock.first_refused
        if since is None or clock.accepted is not None or course.way is Way.BACK:
            return None
        left: float | None = None
        if self.forecast is not None:
            phase = course.phase.value
            spent = laid_out(self._spans(records, now), since, now, phase)
            under_way = {part_name(phase, step, self.roles) for step in records[-1].under_way}
            done = frozenset(part_name(phase, step, self.roles) for step in records[-1].done) - under_way
            left = self.forecast.left(phase, spent, done)
        return Ahead(now - since, left, self.seconds)

    def exceeded(self, ahead: Ahead | None, record: Record, steps: Steps) -> str | None:
        """Why the window has to go back, in words; None while it need not. From the old primary's release on it does not any more: DB_A
        is a second from opening, and the way back would take longer."""
        if ahead is None or self.seconds is None or ahead.whole <= self.seconds:
            return None
        if record.course.phase is Phase.CUTOVER and steps.primary_gate in record.begun:
            return None
        left = f" and about {ahead.left:.0f} s are left" if ahead.left is not None else ""
        return (
            f"writes have been refused for {ahead.passed:.1f} s{left}: more than the outageBudget of {self.seconds} s"
        )

    def run(self, records: Sequence[Record], clock: Clock, stack: str, *, whole: bool) -> Run | None:
        """What is kept of a window that began with readonly; None if it was no outage, or of a shape that is not known. `whole`: it
        ended in cutover, and its outage lasted until every online server was led to DB_A and had no session elsewhere."""
        since = clock.first_refused
        if since is None or clock.accepted is None or self.forecast is None:
            return None
        last = clock.steps.online_hosts | clock.steps.own_sessions
        led = [ended for step, (_, ended) in records[-1].spans.items() if step in last]
        until = max([clock.accepted, *led]) if whole else clock.accepted
        parts = laid_out(self._spans(records, until), since, until, records[-1].course.phase.value)
        return Run(
            at=time.time(),
            stack=stack,
            ended="cutover" if whole else "back",
            shape=self.forecast.shape,
            parts={name: round(seconds, 3) for name, seconds in parts.items()},
        )

    def _spans(self, records: Sequence[Record], now: float) -> Iterator[Span]:
        for record in records:
            phase = record.course.phase.value
            for step, (began, ended) in record.spans.items():
                yield Span(part_name(phase, step, self.roles), began, ended)
            for step, began in record.under_way.items():
                yield Span(part_name(phase, step, self.roles), began, now)
