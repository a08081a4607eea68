"""What a rehearsal on the true data leaves for the forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.settings import Settings
from scripts.forecast import prior
from scripts.forecast.forecast import forecast
from scripts.forecast.run import keep, kept
from scripts.rehearsal.figures import FiguresError, amount, run
from tests.unit.example_config import config

SECONDS = {
    "baseBackup": 5_000.0, "check": 3.0, "promote": 0.5, "stop": 1.5, "pg_upgrade": 90.0, "start": 4.0, "firstStatistics": 60.0,
    "statistics": 900.0,
}  # fmt: skip
COUNTS = {
    "databases": 7, "relations": 9_000, "mostRelations": 8_000, "largeObjects": 12, "dataBytes": 10**12, "cores": 16,
    "memoryBytes": 2**36,
}  # fmt: skip


def measured(**other: Any) -> dict[str, Any]:
    return {"seconds": SECONDS, "counts": COUNTS, **other}


@pytest.fixture
def settings() -> Settings:
    return Settings.from_config({**config(), "rehearsal": "true"})


def test_what_writes_wait_for_is_what_is_forecast(settings: Settings, tmp_path: Path) -> None:
    """An hour of base backup in the forecast of an outage; or a figure that the next command does not find."""
    found = run(settings, "rehearsal", measured(), 1.0)
    assert found.parts == {prior.DATABASE: 96.0}
    assert found.true_data
    assert (found.shape.bytes, found.shape.cores, found.shape.online) == (10**12, 16, 2)
    file = tmp_path / "windows.jsonl"
    keep(file, found)
    assert kept([file]) == ([found], 0)
    (part,) = (one for one in forecast(kept([file])[0], found.shape).parts if one.name == prior.DATABASE)
    assert part.median == pytest.approx(96, rel=0.05)
    assert "copied at 200 MB/s" in amount(found)


@pytest.mark.parametrize("act", ["promote", "stop", "pg_upgrade", "start"])
def test_half_a_measurement_is_none(act: str, settings: Settings) -> None:
    """An upgrade that was interrupted looks shorter than it is."""
    seconds = {name: one for name, one in SECONDS.items() if name != act}
    with pytest.raises(FiguresError, match=act):
        run(settings, "rehearsal", measured(seconds=seconds), 1.0)


def test_before_the_upgrade_there_is_nothing_to_keep(settings: Settings) -> None:
    """A rehearsal that stopped in prepare, as an upgrade that took no time."""
    with pytest.raises(FiguresError, match="pg_upgrade"):
        run(settings, "rehearsal", {}, 1.0)
