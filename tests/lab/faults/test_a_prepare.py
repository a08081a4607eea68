"""Before the first window: DB_A's first base backup."""

import pytest

from tests.lab.faults.breakage import full_disk
from tests.lab.faults.night import Night
from tests.lab.faults.story import Fault

pytestmark = pytest.mark.faults


def test_disk_full_at_base_backup(night: Night) -> None:
    """A half copy that passes for a standby would be found out in the window."""
    with night.stories.tell(Fault.DISK_FULL_AT_BASE_BACKUP) as story:
        with full_disk(night.host("db-a"), leaving=60):
            story.refuses(night.operator.up("prepare").failed(), "No space left on device")
            night.takes_writes("db1")
        night.up("prepare", higher=True)
        story.repairs("room on the disk", "pulumi config set round <one higher> && pulumi up")
    night.takes_writes("db1")
