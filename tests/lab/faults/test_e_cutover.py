"""The last window: with everything that can be mended on the way, to a DB_A that takes the writes."""

import pytest

from rehearsal.drill import at_cutover
from rehearsal.drill.night import Night

pytestmark = pytest.mark.faults


def test_upgrade_comes_through(night: Night) -> None:
    """A DB_A that is promoted on what it heard of the fence a while ago may lack what was written since."""
    at_cutover.upgrade_comes_through(night)


def test_cutover_comes_through(night: Night) -> None:
    """Whatever happens between the release and the opening, DB_A opens once, and only after db1 gave everything away."""
    at_cutover.cutover_comes_through(night)
