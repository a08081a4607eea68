"""The window's outageBudget: before it begins, and while it goes."""

from __future__ import annotations

import random

import pytest

from agent.states import Phase
from components.config_errors import SettingsError
from components.settings import Settings
from scripts.forecast import prior
from scripts.forecast.forecast import Forecast, forecast
from scripts.window.budget import Budget
from scripts.window.clock import SEALING, Clock, Heard, Steps, What
from scripts.window.course import Course, NoWayError, Way
from scripts.window.permission import refuse_over_budget
from scripts.window.record import Record
from scripts.window.screen import live_line
from tests.forecast.windows import run, shape
from tests.unit.example_config import config

SETTINGS = Settings.from_config({**config(), "outageBudget": "40"})
ROLES = {server.name: server.role.value for server in SETTINGS.servers.values()}


def found() -> Forecast:
    """About 30 s, of which DB_A's upgrade takes 20."""
    parts = {**prior.PLAIN, prior.DATABASE: 20.0}
    return forecast([run(shape(), random.Random(1), parts=parts) for _ in range(6)], shape())


class Night:
    """A window as its steps tell it, by a clock of its own."""

    def __init__(self, seconds: int | None = 40, foreseen: Forecast | None = None) -> None:
        self.budget = Budget(seconds, found() if foreseen is None else foreseen, ROLES)
        self.clock = Clock(Steps.of(SETTINGS))
        self.records: list[Record] = []

    def up(self, phase: Phase, at: float, way: Way = Way.FORWARD) -> None:
        self.records.append(Record(Course(way, phase, 1), began=at))

    def step(self, name: str, began: float, ended: float | None, said: str = "") -> None:
        words = [Heard(began, name, What.BEGAN)]
        words += [Heard(began, name, What.SAID, said)] if said else []
        words += [Heard(ended, name, What.DONE)] if ended is not None else []
        for word in words:
            self.records[-1].hear(word)
            self.clock.hear(self.records[-1].course.phase, word)

    def sealed(self) -> None:
        """Writes are refused from 99.0 on, and the upgrade is under way from 104.0 on."""
        self.up(Phase.READONLY, 95.0)
        self.step("web1-hosts-file", 98.0, 99.0)
        self.step("db1-client-gate", 100.0, 101.0, SEALING)
        self.step("db1-finish", 101.0, 101.5)
        self.up(Phase.CUTOVER, 102.0)
        self.step("db-a-announce", 103.0, 104.0)
        self.step("db-a-database", 104.0, None)

    def exceeded(self, at: float) -> str | None:
        ahead = self.budget.ahead(at, self.records, self.clock)
        return self.budget.exceeded(ahead, self.records[-1], self.clock.steps)


def test_it_goes_back_when_what_has_passed_and_what_is_left_exceed_the_budget() -> None:
    """Writes refused for as long as an upgrade takes that nobody agreed to; or a good night sent back before its end."""
    night = Night()
    night.sealed()
    ahead = night.budget.ahead(105.0, night.records, night.clock)
    assert ahead is not None
    assert ahead.left is not None
    assert ahead.passed == pytest.approx(6.0), "from the first online server led to DB_B on"
    assert 20 < ahead.left < 30
    assert night.exceeded(105.0) is None
    assert night.exceeded(124.0) is None
    late = [at for at in range(105, 160) if night.exceeded(float(at)) is not None]
    # What is left after the upgrade is some six seconds.
    assert 128 < late[0] < 138
    assert late == list(range(late[0], 160))
    assert "more than the outageBudget of 40 s" in str(night.exceeded(150.0))


def test_before_writes_are_refused_nothing_is_used_up() -> None:
    """A drained server that takes five minutes to leave would end the window before it began."""
    night = Night()
    night.up(Phase.READONLY, 0.0)
    night.step("web3-load-balancer", 1.0, None)
    assert night.exceeded(500.0) is None


def test_from_the_release_on_it_goes_forward() -> None:
    """DB_A opens within a second: the way back from there takes longer than what is over the budget."""
    night = Night()
    night.sealed()
    night.step("db-a-database", 104.0, 149.0)
    assert night.exceeded(149.5) is not None
    night.step("db1-client-gate", 150.0, None)
    assert night.exceeded(160.0) is None


def test_on_the_way_back_no_budget_counts() -> None:
    """A way back that is ended over the budget leaves writes refused."""
    night = Night()
    night.sealed()
    night.up(Phase.PREPARE, 150.0, Way.BACK)
    night.step("db1-client-gate", 151.0, None)
    assert night.exceeded(500.0) is None


def test_without_a_budget_or_a_forecast() -> None:
    """No budget: it never goes back over one. No forecast: what has passed counts alone."""
    night = Night(seconds=None)
    night.sealed()
    assert night.exceeded(10_000.0) is None
    blind = Night()
    blind.budget = Budget(40, None, ROLES)
    blind.sealed()
    assert blind.exceeded(139.0) is None
    assert blind.exceeded(141.0) is not None
    assert blind.budget.run(blind.records, blind.clock, "prod", whole=True) is None, "of no known shape"


def test_the_live_line_says_what_is_left() -> None:
    """Nobody sees whether the night is still the one that was agreed to."""
    night = Night()
    night.sealed()
    ahead = night.budget.ahead(105.0, night.records, night.clock)
    assert ahead is not None
    line = live_line(105.0, night.records[-1], night.clock, ahead.words)
    assert "writes refused for 5.0 s, about 2" in line
    assert "s left, budget 40 s" in line


def test_what_is_kept_is_the_outage_until_the_last_online_server() -> None:
    """The next forecast would be for the luckiest server."""
    night = Night()
    night.sealed()
    night.step("db-a-database", 104.0, 124.0)
    night.step("db1-client-gate", 126.0, 127.0)
    night.step("db-a-client-gate", 127.0, 128.0)
    night.step("web1-hosts-file", 128.0, 128.5)
    night.step("web2-hosts-file", 128.0, 130.0)
    night.step("db2-sessions-web2", 130.0, 131.0)
    night.step("db2-sessions-online", 131.0, 133.0)
    kept = night.budget.run(night.records, night.clock, "prod", whole=True)
    assert kept is not None
    assert kept.ended == "cutover"
    assert kept.seconds == pytest.approx(32.0)
    assert kept.parts == {
        "readonly: the engine": 1.0,
        "readonly: primary client-gate": 1.0,
        "readonly: primary finish": 0.5,
        "cutover: the engine": 3.5,
        "cutover: target announce": 1.0,
        "cutover: target database": 20.0,
        "cutover: primary client-gate": 1.0,
        "cutover: target client-gate": 1.0,
        "cutover: online hosts-file": 2.0,
        "cutover: replica sessions-online": 1.0,
    }


def test_a_window_that_ends_too_late_does_not_begin() -> None:
    """It would go back in the middle, with minutes of refused writes for nothing."""
    foreseen = found()
    assert foreseen.median < 40
    refuse_over_budget(foreseen, None, over=False)
    refuse_over_budget(foreseen, int(foreseen.bad) + 1, over=False)
    between = int((foreseen.median + foreseen.bad) / 2)
    with pytest.raises(NoWayError, match="--over-budget"):
        refuse_over_budget(foreseen, between, over=False)
    refuse_over_budget(foreseen, between, over=True)
    with pytest.raises(NoWayError, match="go back as soon as it has begun"):
        refuse_over_budget(foreseen, int(foreseen.median) - 1, over=True)
    with pytest.raises(NoWayError, match="Found: none"):
        refuse_over_budget(None, 40, over=False)
    refuse_over_budget(None, 40, over=True)


@pytest.mark.parametrize("budget", ["0", "soon", "-5", "1.5"])
def test_a_budget_that_is_none_is_refused(budget: str) -> None:
    """Taken as it is, the window would never begin, or never go back."""
    with pytest.raises(SettingsError, match="outageBudget"):
        Settings.from_config({**config(), "outageBudget": budget})
