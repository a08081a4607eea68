"""Which checks are loaded where."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import checks
from agent.check_names import CheckName
from agent.checks import catalogue
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight
from agent.server import Server
from components.agent_program import PROJECT
from tests.preflight.places import desired

MODULES = sorted(file.stem for file in Path(checks.__file__).parent.glob("*.py"))


def checks_of(module: str) -> tuple[Check, ...]:
    found: tuple[Check, ...] = getattr(importlib.import_module(f"agent.checks.{module}"), "CHECKS", ())
    return found


@pytest.mark.parametrize("side", Side)
def test_every_check_of_a_side_is_made_there(side: Side) -> None:
    """A module that is not listed for a side is not loaded there, and its checks find nothing for ever."""
    there = {module for module in MODULES if any(side in check.sides for check in checks_of(module))}
    assert there
    assert set(catalogue.MODULES[side]) == there
    assert {check.name for check in catalogue.of(side)} == {
        check.name for module in MODULES for check in checks_of(module) if side in check.sides
    }


def test_a_server_of_the_application_loads_nothing_for_databases() -> None:
    """One import at the top of a module that all load makes preflight seconds longer on a fleet, and nobody sees why."""
    program = (
        "import sys, agent.__main__, agent.preflight\n"
        "from agent.checks import catalogue\n"
        "from agent.checks.check import Side\n"
        "catalogue.of(Side.SERVER)\n"
        "print(*[name for name in sys.modules if name.startswith('agent') or name in ('ssl', 'logging')])"
    )
    argv = [sys.executable, "-S", "-c", program]  # without what this environment's site-packages load by themselves
    loaded = set(subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split())
    assert "agent.checks.hosts" in loaded
    assert loaded & {"ssl", "logging"} == set()
    own = {f"agent.checks.{module}" for module in catalogue.MODULES[Side.SERVER]}
    others = {f"agent.checks.{module}" for module in MODULES if checks_of(module)} - own
    assert loaded & others == set()
    assert (
        loaded & {"agent.publisher", "agent.seal", "agent.target", "agent.observe", "agent.checks.database_facts"}
        == set()
    )


def test_a_long_check_is_made_beside_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made in its turn, pg_upgrade --check holds up whoever asked the whole fleet; with a session of another's, it reads its answers."""
    quick_made = threading.Event()
    looked: list[Sight] = []

    def long(sight: Sight) -> list[str]:
        looked.append(sight)
        return [] if quick_made.wait(10) else ["the others were not made meanwhile"]

    def quick(sight: Sight) -> list[str]:
        looked.append(sight)
        quick_made.set()
        return ["found"]

    def check(name: CheckName, look: Callable[[Sight], list[str]], is_long: bool) -> Check:
        return Check(name, Severity.REFUSE, (Side.TARGET,), "it matters", "mend it", look, is_long)

    both = (check(CheckName.PG_UPGRADE, long, True), check(CheckName.EXTENSIONS_MISSING, quick, False))
    monkeypatch.setattr(catalogue, "of", lambda _: both)
    with Sight(desired(tmp_path), Server()) as sight:
        results = catalogue.made(sight)
    assert [(result.check.name, result.found) for result in results] == [
        (CheckName.PG_UPGRADE, []),
        (CheckName.EXTENSIONS_MISSING, ["found"]),
    ]
    assert sight in looked
    assert len({id(one._sessions) for one in looked}) == 2
