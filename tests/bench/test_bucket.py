"""The bucket that the bench of fleets keeps a state in."""

from __future__ import annotations

from pathlib import Path

from rehearsal.bench.fleets.bucket import served


def test_each_fleet_has_a_bucket_of_its_own(tmp_path: Path) -> None:
    """The bench ended when the second fleet's was made, after the minutes of the first."""
    for name in ("first", "second"):
        filled, taken = tmp_path / name / "filled", tmp_path / name / "taken"
        filled.mkdir(parents=True)
        (filled / name).write_text("state")
        with served() as bucket:
            bucket.fill(filled)
            bucket.take(taken)
        assert [file.name for file in taken.iterdir()] == [name]
