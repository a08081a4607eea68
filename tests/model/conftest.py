"""The model's fixtures: fleets to begin from, and the real engine's to compare with."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent import install
from tests.components.conftest import ground, nothing_refuses, snapshots
from tests.model import tally
from tests.model.moves import States

__all__ = ["ground", "nothing_refuses", "snapshots", "states"]
# Hundreds of fleets of small files: in memory where there is such a place.
MEMORY = Path("/dev/shm")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of a run with several hands its counts on."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["model"] = dict(tally.COUNTED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    tally.add(getattr(node, "workeroutput", {}).get("model", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tally.COUNTED:
        terminalreporter.section("the model's runs")
        for line in tally.told():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Every server of every fleet gets the same agent: compiling it each time would be half of what these tests do."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(install, "compiled", cache(install.compiled))
        yield


@pytest.fixture(scope="session")
def states() -> Iterator[States]:
    folder = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None, prefix="pgleap-model-"))
    try:
        yield States(folder)
    finally:
        shutil.rmtree(folder)
