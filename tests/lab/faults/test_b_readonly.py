"""What goes wrong on the way to `readonly`, and who tries to write behind the seal."""

import pytest

from rehearsal.drill import at_readonly
from rehearsal.drill.night import Night

pytestmark = pytest.mark.faults


def test_prepared_transaction(night: Night) -> None:
    """It outlives every session that the seal ends, and could be committed behind the fence."""
    at_readonly.prepared_transaction(night)


def test_lag_before(night: Night) -> None:
    """Whoever seals first and looks then refuses writes for as long as DB_A needs to catch up."""
    at_readonly.lag_before(night)


def test_engine_killed_at_readonly(night: Night) -> None:
    """To the engine nothing happened, while the old primary seals on."""
    at_readonly.engine_killed_at_readonly(night)


def test_primary_dies_sealed(night: Night) -> None:
    """A seal that is only in memory opens by itself when the server comes back, and nobody notices."""
    at_readonly.primary_dies_sealed(night)


def test_old_sessions(night: Night) -> None:
    """What gets in behind the fence is acknowledged, and lost with the old primary."""
    at_readonly.old_sessions(night)


def test_logical_consumer(night: Night) -> None:
    """Its session speaks SQL, and can write as soon as it stops streaming; and its slot does not come along."""
    at_readonly.logical_consumer(night)


def test_engine_killed_at_prepare(night: Night) -> None:
    """The old primary is open again, the names still lead to DB_B: to whom looks at the old primary alone, all is well."""
    at_readonly.engine_killed_at_prepare(night)


def test_interrupted_at_readonly(night: Night) -> None:
    """A ^C that only ends the engine leaves writes refused, with nobody at work on it."""
    at_readonly.interrupted_at_readonly(night)
