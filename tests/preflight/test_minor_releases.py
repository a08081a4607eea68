"""Minor releases that are out of step, by the day on which they came out."""

from __future__ import annotations

import pytest

from scripts.preflight.minor_releases import day, partner
from scripts.preflight.report import Status
from tests.preflight.answers import FakeFleet

# From the announcements, a day each.
TOGETHER = [
    ("13.5", "14.1"), ("13.7", "14.3"), ("13.8", "14.5"), ("13.9", "14.6", "15.1"), ("13.13", "14.10", "15.5", "16.1"),
    ("13.17", "14.14", "15.9", "16.5", "17.1"), ("13.20", "14.17", "15.12", "16.8", "17.4"),
    ("13.23", "14.20", "15.15", "16.11", "17.7", "18.1"), ("14.21", "15.16", "16.12", "17.8", "18.2"),
]  # fmt: skip


@pytest.mark.parametrize("releases", TOGETHER, ids=lambda releases: releases[-1])
def test_what_came_out_on_one_day(releases: tuple[str, ...]) -> None:
    """One count too many calls every fleet that is up to date out of step."""
    assert len({day(release) for release in releases}) == 1
    assert partner(releases[0], int(releases[-1].partition(".")[0])) == releases[-1]


def test_the_days_are_in_order() -> None:
    """14.4 came out alone, between 14.3 and 14.5; a first release came before the first minor one."""
    for earlier, later in (("14.3", "14.4"), ("14.4", "14.5"), ("18.0", "18.1"), ("17.6", "18.0"), ("17.11", "17.12")):
        before, after = day(earlier), day(later)
        assert before is not None and after is not None and before < after


@pytest.mark.parametrize("version", ["19beta1", "18rc1", "99.1", "12.3", "17devel", "9.6.24"])
def test_what_nobody_can_tell_is_not_told(version: str) -> None:
    """A guess about versions to come would be a false alarm, or a false calm."""
    assert day(version) is None


def test_a_new_version_that_is_older_than_the_old_one() -> None:
    """Its restore may refuse what the later release of the old version writes: pg_upgrade stops in the window."""
    fleet = FakeFleet()
    fleet.say("db1", version="15.20")
    fleet.say("db-a", binaries={"15": "15.20", "17": "17.11"})
    row = fleet.row("minor-releases")
    assert row.status is Status.WARN
    assert row.outcome.found["db-a"] == ["17.11 is older than 15.20, which db1 runs: 17.12 came out with that"]
    fleet.say("db-a", binaries={"15": "15.20", "17": "17.12"})
    assert "db-a" not in fleet.row("minor-releases").outcome.found


def test_what_is_not_installed_or_not_known_is_said() -> None:
    """Silence would look like a check that was made."""
    fleet = FakeFleet()
    fleet.say("db-a", binaries={"15": "15.4", "17": None})
    fleet.say("db-c", binaries={"15": None, "17": "99.1"})
    unseen = fleet.row("minor-releases").outcome.unseen
    assert unseen["db-a"] == "PostgreSQL 17 is not installed, or was not seen"
    assert unseen["db-c"] == "which of 15.4 and 99.1 is older is not known here"
