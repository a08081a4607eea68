"""Before the first window: DB_A's first base backup."""

import pytest

from rehearsal.drill import at_prepare
from rehearsal.drill.night import Night

pytestmark = pytest.mark.faults


def test_disk_full_at_base_backup(night: Night) -> None:
    """A half copy that passes for a standby would be found out in the window."""
    at_prepare.disk_full_at_base_backup(night)
