"""Commands for a window, given a rehearsal's stack: its config names the same servers."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import pytest
import typer

from components.settings import Settings
from scripts import stack, status, uninstall
from scripts.window.engine import Engine, EngineError, Reading
from scripts.window.window import OpenStack
from tests.unit.example_config import config

RAW = {**config(), "rehearsal": "true"}


@pytest.mark.parametrize("command", [uninstall.main, status.main])
def test_it_is_refused(command: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """pgleap taken away from production, by whoever meant the rehearsal."""
    finished = {"phase": "prepare", "round": 1}
    monkeypatch.setattr(stack, "read", lambda **_: stack.Stack(Settings.from_config(RAW), finished))
    with pytest.raises(typer.Exit) as refused:
        command()
    assert refused.value.exit_code == 2
    assert "Found: a rehearsal's" in capsys.readouterr().err


def test_no_window_begins_from_it() -> None:
    """The rehearsal's copy would be the window's DB_A."""

    class Named:
        stack = "rehearsal"

    raw: Future[dict[str, Any]] = Future()
    raw.set_result(RAW)
    with pytest.raises(EngineError, match="rehearsal's"):
        OpenStack.of(Reading(cast(Engine, Named()), None, raw, Future()))
