"""How the agent starts: what it loads before it does anything."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from agent import rehearsal
from agent.__main__ import REHEARSAL, WINDOW, Program
from components.agent_program import INSTALLED, INSTALLED_FOR_REHEARSAL

REPOSITORY = Path(__file__).parents[2]
# Other verbs' business, and what of the standard library takes longest to load.
DEAR = ("agent.postgres", "agent.journal", "agent.install", "dataclasses", "difflib", "logging", "tempfile")


def loaded_by(*modules: str) -> set[str]:
    """What a Python that imports these has loaded."""
    program = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    asked = [sys.executable, "-S", "-c", program]
    return set(subprocess.run(asked, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout.split())


def test_a_hosts_file_waits_for_nothing_it_does_not_need() -> None:
    """Nothing fails when a module too many is imported: every step of the window is a tenth of a second slower, on two hundred hosts as
    on one."""
    loaded = loaded_by("agent.__main__", "agent.hosts_file")
    assert "agent.hosts_lines" in loaded
    assert not loaded.intersection(DEAR)


@pytest.mark.parametrize("program", [WINDOW, REHEARSAL], ids=["window", "rehearsal"])
def test_every_unit_is_there(program: Program) -> None:
    """What a unit runs is looked up when it runs, at night, where nobody sees that there is no such function."""
    assert program.units
    for module, function in program.units.values():
        assert callable(getattr(importlib.import_module(f"agent.{module}"), function))


def test_both_sides_spell_the_places_alike() -> None:
    """A program that is installed elsewhere than its steps look for it is found missing in the first of them."""
    assert (WINDOW.installed, REHEARSAL.installed) == (INSTALLED, INSTALLED_FOR_REHEARSAL)
    assert REHEARSAL.folder == rehearsal.FOLDER != WINDOW.folder
