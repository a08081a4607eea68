"""The whole window: one `up` after another, as the course says, and the account at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.states import Phase
from components.settings import Settings
from scripts.forecast.forecast import Forecast
from scripts.forecast.run import keep, records
from scripts.window import course, summary
from scripts.window.budget import Budget
from scripts.window.clock import Clock, Steps
from scripts.window.course import Course, End, Finished, Way
from scripts.window.deadlines import Deadlines
from scripts.window.engine import Engine, EngineError, Reading
from scripts.window.screen import Screen
from scripts.window.watch import Watch


@dataclass(frozen=True)
class OpenStack:
    """A stack as it is found: its config (secrets closed), the phase `asked` there, the settings, and the phase that it finished last."""

    engine: Engine
    raw: Mapping[str, Any]
    asked: Phase
    settings: Settings
    finished: Finished | None

    def course(self, back: bool) -> Course:
        """The first `up`. Raises NoWayError."""
        if back:
            lost = self.settings.target.lost
            return course.back_from(self.asked, self.settings.round, self.finished, without_target=lost)
        return course.forward_from(self.asked, self.settings.round, self.finished)

    @classmethod
    def of(cls, reading: Reading, back: bool = False) -> OpenStack:
        """The stack, once it is read. On the way `back` its config is judged as prepare's, where that leads: what is for a way back is a
        mistake in the phase that is left. Raises EngineError, SettingsError."""
        if reading.suits is not None:
            reading.suits.result()
        raw = reading.raw.result()
        asked = next((phase for phase in Phase if phase == raw.get("phase")), None)
        settings = Settings.from_config({**raw, "phase": Phase.PREPARE.value} if back and asked else raw)
        asked = asked or settings.phase
        if settings.rehearsal:
            raise EngineError(
                f"Expected: the stack of a window. Found: {reading.engine.stack} is a rehearsal's (pgleap:rehearsal).\n"
                "To do: python -m scripts.rehearsal, or give the window's stack with --stack"
            )
        finished = reading.finished.result()
        wanted = {server.name for server in settings.servers.values() if server.instance is not None}
        reading.engine.checkpoints = finished is None or not wanted <= finished.instances
        return cls(reading.engine, raw, asked, settings, finished)


class Window:
    """One window, forward or back. `given` are the operator's deadlines; `forecast` is None where there is none."""

    def __init__(self, stack: OpenStack, given: Mapping[str, float], forecast: Forecast | None, screen: Screen) -> None:
        self._stack = stack
        self._screen = screen
        self._budget = Budget(
            stack.settings.outage_budget,
            forecast,
            {server.name: server.role.value for server in stack.settings.servers.values()},
        )
        self._clock = Clock(Steps.of(stack.settings))
        self._watch = Watch(
            stack.engine,
            self._clock,
            Deadlines(stack.settings.limits, given, stack.settings.load_balancer, stack.settings.target.name),
            self._budget,
            screen,
        )

    def go(self, back: bool) -> int:
        """Go until the end, and account for it; the exit status. Raises NoWayError before anything is done."""
        first = self._stack.course(back)
        if first.way is Way.FORWARD and first.phase is not Phase.READONLY:
            self._screen.now("Writes are refused from before this command; its clock begins now.")
            self._clock.begin_refused(self._screen.began)
        with self._watch.signals():
            with self._screen.live():
                end, last = self._follow(first)
            self._leave(end, last)
            self._account(end, last)
        if first.phase is Phase.READONLY and end in (End.CUTOVER, End.BACK):
            self._keep(end)
        return 0 if back and end is End.BACK else summary.EXIT_STATUS[end]

    def _follow(self, first: Course) -> tuple[End, Course]:
        now: Course = first
        while True:
            self._screen.now(f"{now.way}: {now.phase}, round {now.round}", "bold")
            ran = self._watch.up(now)
            following = course.after(now, ran)
            if isinstance(following, End):
                return following, now
            if following.way is not now.way:
                self._screen.warn(f"{now.phase} {ran.ending}: going back to prepare.")
            now = following

    def _leave(self, end: End, last: Course) -> None:
        """Leave the stack's config as the fleet stands."""
        try:
            if end is End.NOTHING and self._watch.records:
                self._stack.engine.ask(str(self._stack.raw["phase"]), str(self._stack.raw["round"]))
            elif end is End.OPENED and last.phase is not Phase.CUTOVER:
                self._stack.engine.ask(Phase.CUTOVER.value, str(summary.cutover_round(last)))
        except EngineError as error:
            self._screen.warn(f"The stack's config could not be written: {error}")

    def _keep(self, end: End) -> None:
        """Keep what each part took, for the next forecast."""
        run = self._budget.run(self._watch.records, self._clock, self._stack.engine.stack, whole=end is End.CUTOVER)
        if run is None:
            return
        file = records(self._stack.settings, self._stack.engine.project)
        try:
            keep(file, run)
            self._screen.say(f"What each part took is kept in {file}, for the next forecast.")
        except OSError as error:
            self._screen.warn(f"What each part took could not be kept in {file}: {error}")

    def _account(self, end: End, last: Course) -> None:
        say = self._screen.say
        names = (self._stack.settings.primary.name, self._stack.settings.target.name)
        if end is not End.NOTHING:
            for line in ("", *summary.seconds(self._watch.records), ""):
                say(line)
            for line in summary.outage(self._clock, time.monotonic(), self._screen.began, names[0]):
                say(line)
            if self._budget.forecast is not None and end is End.CUTOVER:
                say(
                    f"The forecast was {self._budget.forecast.median:.1f} s, in a bad case {self._budget.forecast.bad:.1f} s."
                )
        for line in summary.standing(end, last, *names):
            say(line, "green" if end in (End.CUTOVER, End.BACK) else "yellow")
