"""What the step `ready` asks of the checks."""

from __future__ import annotations

from typing import Any

import pytest

from agent import preflight
from agent.check_names import CheckName
from agent.checks import catalogue
from agent.checks.check import Check, Severity, Side
from agent.report import Refusal
from agent.server import Server


def test_pg_upgrade_is_not_checked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ready` runs it itself, in the minutes before the window; a refusal of another check is still one."""
    made = []

    def check(name: CheckName) -> Check:
        def look(_: Any) -> list[str]:
            made.append(name)
            return ["wrong"]

        return Check(name, Severity.REFUSE, (Side.TARGET,), "it matters", "mend it", look)

    both = (check(CheckName.PG_UPGRADE), check(CheckName.EXTENSIONS_MISSING))
    monkeypatch.setattr(catalogue, "of", lambda _: both)
    with pytest.raises(Refusal) as refused:
        preflight.refuse_open({"side": "DB_A", "accepted": []}, Server())
    assert made == [CheckName.EXTENSIONS_MISSING]
    assert "extensions-missing: wrong" in refused.value.found
    preflight.refuse_open({"side": "DB_A", "accepted": ["extensions-missing"]}, Server())
