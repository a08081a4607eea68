"""`python -m scripts.rehearsal`: what it begins with, and what it leaves where something fails."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from agent.states import Phase
from scripts.forecast.run import kept
from scripts.rehearsal import engine as engines
from scripts.window.course import Finished
from scripts.window.engine import EngineError
from tests.forecast.test_rehearsal_figures import measured
from tests.unit.example_config import config

RAW = {**config(), "rehearsal": "true", "phase": "cutover", "round": "4"}
Command = Callable[..., None]


class FakeEngine:
    """What it was told to do; `fails` at one of these."""

    raw: dict[str, Any] = RAW
    finished_last: Finished | None = None
    fails = ""
    figures: dict[str, Any] = measured()

    def __init__(self, project: Path, stack: str | None) -> None:
        self.project, self.stack = project, stack or "rehearsal"

    def check(self) -> None:
        """It suits."""

    def config(self) -> dict[str, Any]:
        return self.raw

    def finished(self) -> Finished | None:
        return self.finished_last

    def go(self, phase: Phase, round_: int) -> None:
        self._do(f"{phase} {round_}")

    def destroy(self) -> None:
        self._do("destroy")

    def measured(self) -> dict[str, Any]:
        return self.figures

    def _do(self, what: str) -> None:
        DONE.append(what)
        if what.startswith(self.fails or "-"):
            raise EngineError(f"`pulumi {what}` ended with 255")


DONE: list[str] = []


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """The command, in a project's folder, with an engine that only remembers."""
    monkeypatch.setattr(engines, "RehearsalEngine", FakeEngine)
    monkeypatch.chdir(tmp_path)
    DONE.clear()
    found = runpy.run_module("scripts.rehearsal.__main__", run_name="not main")["main"]
    return lambda **options: found(**{"stack": None, "yes": True, "keep_copy": False, **options})


def windows() -> list[str]:
    return [run.ended for run in kept([Path(".pgleap/windows.jsonl")])[0]]


def test_the_whole_of_it(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """The phase that came with the window's config is where the window went, not the rehearsal."""
    command()
    assert DONE == ["prepare 4", "upgrade 4", "destroy"]
    assert windows() == ["rehearsal"]
    assert "96.0" in capsys.readouterr().out


def test_a_copy_that_stands_is_made_anew(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of an upgrade that was made last week, with today's date."""
    monkeypatch.setattr(FakeEngine, "finished_last", Finished(Phase.UPGRADE, 6))
    command(keep_copy=True)
    assert DONE == ["prepare 7", "upgrade 7"]
    assert windows() == ["rehearsal"]


@pytest.mark.parametrize("fails", ["prepare", "upgrade"])
def test_what_failed_stands_to_be_looked_at(
    fails: str, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pg_upgrade's reports, thrown away with the copy that they are about."""
    monkeypatch.setattr(FakeEngine, "fails", fails)
    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 1
    assert "destroy" not in DONE
    assert windows() == []
    assert "pulumi destroy --stack rehearsal takes it away" in capsys.readouterr().err


def test_half_a_measurement_is_not_kept(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade that was interrupted looks shorter than it is."""
    monkeypatch.setattr(FakeEngine, "figures", {"seconds": {"start": 1.0}, "counts": {}})
    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 1
    assert windows() == []


@pytest.mark.parametrize(
    ("raw", "options", "said"),
    [
        ({**RAW, "rehearsal": "false"}, {}, "with pgleap:rehearsal true"),
        (RAW, {"yes": False}, "somebody to ask, or --yes"),
        ({**RAW, "versions": {"old": 17, "new": 15}}, {}, "does not rise above"),
    ],
    ids=["a window's stack", "nobody to ask", "a wrong config"],
)
def test_nothing_is_done(
    raw: dict[str, Any],
    options: dict[str, Any],
    said: str,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A production stack brought to prepare and upgrade, and destroyed."""
    monkeypatch.setattr(FakeEngine, "raw", raw)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(typer.Exit) as ended:
        command(**options)
    assert ended.value.exit_code == 2
    assert DONE == []
    assert said in capsys.readouterr().err
