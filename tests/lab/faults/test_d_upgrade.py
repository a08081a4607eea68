"""What goes wrong while DB_A is upgraded, and the ways back from there: each ends with DB_A built anew beside the traffic."""

import pytest

from rehearsal.drill import at_upgrade
from rehearsal.drill.night import Night

pytestmark = pytest.mark.faults


def test_lag_at_fence(night: Night) -> None:
    """A DB_A promoted short of the fence lacks the last writes, and looks whole."""
    at_upgrade.lag_at_fence(night)


def test_disk_full_at_upgrade(night: Night) -> None:
    """A cluster that pg_upgrade left half-way must not be started as if it were whole."""
    at_upgrade.disk_full_at_upgrade(night)


def test_library_missing(night: Night) -> None:
    """The check was made while the library was there; what fails after the promotion must still have a way on."""
    at_upgrade.library_missing(night)


def test_interrupted_at_upgrade(night: Night) -> None:
    """pg_upgrade goes on by itself on DB_A when the engine ends; it must never end in a DB_A that takes writes."""
    at_upgrade.interrupted_at_upgrade(night)


def test_ssh_cut_at_upgrade(night: Night) -> None:
    """A pg_upgrade that dies with the connection, or a second one started beside it, ruins DB_A in the window."""
    at_upgrade.ssh_cut_at_upgrade(night)


def test_interrupted_at_cutover(night: Night) -> None:
    """Between the release and the opening nobody holds the authority: a ^C there must give it back, and to one only."""
    at_upgrade.interrupted_at_cutover(night)
