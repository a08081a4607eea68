"""What a rehearsal teaches the forecast."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.report import gather, records
from scripts.forecast.parts import ENGINE
from scripts.forecast.run import kept
from tests.forecast.windows import shape
from tests.report import made_up


def test_the_steps_of_the_outage_are_kept_and_the_rehearsals_own_time_is_not() -> None:
    """Previews that were read, and tables that were compared, taken for what an engine needs: every forecast from it is far too long."""
    report = made_up.report()
    found = records.run(report, shape())
    assert found is not None
    assert report.window is not None
    assert found.ended == "rehearsal"
    assert "cutover: target database" in found.parts
    assert not [name for name in found.parts if name.endswith(ENGINE)]
    assert not [name for name in found.parts if name.startswith("upgrade")], "a window has no such part"
    assert found.seconds < report.window.seconds
    (database,) = (step for move in report.moves for step in move.steps if step.name == "db-a-database")
    assert found.parts["cutover: target database"] == pytest.approx(database.seconds, abs=0.01)


def test_what_came_after_cutover_is_no_part_of_an_outage() -> None:
    """A base backup of the new replicas counted as time in which writes are refused."""
    report = made_up.report()
    found = records.run(report, shape())
    assert found is not None
    assert not [name for name in found.parts if name.startswith(("prepare", "replicas", "retire"))]


def test_an_outage_without_an_end_teaches_nothing() -> None:
    """How long the rehearsal waited, taken for how long it takes."""
    report = made_up.report()
    assert report.outage is not None
    assert report.window is not None
    endless = report.outage.model_copy(update={"window": report.window.model_copy(update={"until": None})})
    assert records.run(report.model_copy(update={"outage": endless}), shape()) is None


def test_the_forecast_reads_what_is_beside_the_report(tmp_path: Path) -> None:
    """A file that nobody can read, and a forecast that rests on nothing all the same. What an earlier rehearsal left is no second run."""
    judged = made_up.judgement()
    judged.foreseen = made_up.foreseen()
    for _ in range(2):
        gather.write(judged, None, tmp_path)
    runs, strange = kept([tmp_path / gather.RECORD])
    assert (len(runs), strange) == (1, 0)
    assert runs[0].shape == judged.foreseen.shape
