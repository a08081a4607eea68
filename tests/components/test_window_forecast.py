"""The window's forecast and budget under the real engine, over a simulated fleet. Nothing there answers by SSH, so the counts are given."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from agent.states import Target
from scripts.forecast import prior
from scripts.forecast.forecast import forecast
from scripts.forecast.parts import ENGINE
from scripts.forecast.run import kept, records
from scripts.window.engine import Engine
from scripts.window.screen import Screen
from scripts.window.window import OpenStack, Window
from tests.components.simulation import Hold
from tests.components.stack import PROJECT, Stack
from tests.components.test_window_in_one_go import PATIENCE, Script, stands_in_prepare, window
from tests.forecast.windows import shape

pytestmark = pytest.mark.engine

StackAt = Callable[..., Stack]


def test_a_window_is_kept_for_the_next_forecast(
    stack_at: StackAt, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts that do not make up the outage, or of names that no other window has, teach nothing."""
    stack = stack_at("prepare")
    for key, value in {**stack.pulumi.variables(), "PYTHONPATH": str(PROJECT)}.items():
        monkeypatch.setenv(key, value)
    engine = Engine(stack.pulumi.project, "sim")
    try:
        found = OpenStack.of(engine.begin_reading(check=True, load=True))
        foreseen = forecast([], shape())
        began = time.monotonic()
        status = Window(found, {}, foreseen, Screen(began)).go(back=False)
        lasted = time.monotonic() - began
    finally:
        engine.close()
    said = capsys.readouterr().out
    assert status == 0, said
    (run,), strange = kept([records(found.settings, stack.pulumi.project)])
    assert strange == 0
    assert run.shape == foreseen.shape
    assert 0 < run.seconds < lasted
    assert sum(run.parts.values()) == pytest.approx(run.seconds, abs=0.02), run.parts
    assert run.parts[f"cutover: {ENGINE}"] > 0
    assert {f"{phase}: {ENGINE}" for phase in ("readonly", "cutover")} <= set(run.parts), run.parts
    strangers = set(run.parts) - set(prior.PARTS)
    assert strangers <= {"cutover: primary ready"}, run.parts
    assert f"The forecast was {foreseen.median:.1f} s" in said


def test_a_budget_that_is_used_up_goes_back(stack_at: StackAt) -> None:
    """Writes stay refused for as long as DB_A's upgrade takes, whatever was agreed to."""
    stack = stack_at("prepare", checkpoints=True)
    stack.ask("prepare", 1, outageBudget=8)
    status, said = window(stack)
    assert status == 2, said
    assert "--over-budget" in said
    assert stack.fleet.events == [], "it began without a forecast"
    hold = stack.fleet.holds["db-a", "upgrade-target"] = Hold({"database": Target.PRIMARY.value})
    script = Script(stack, "--over-budget")
    try:
        assert hold.reached.wait(PATIENCE), script.said
        script.wait_until_said("more than the outageBudget of 8 s: ending the engine.")
        script.wait_until_said("going back to prepare")
    finally:
        hold.go_on.set()
    assert script.end() == 1, script.said
    assert stands_in_prepare(stack), script.said
