"""Before the first window: DB_A's first base backup."""

from rehearsal.drill.breakage import full_disk
from rehearsal.drill.night import Night
from rehearsal.drill.story import Fault


def disk_full_at_base_backup(night: Night) -> None:
    """A half copy that passes for a standby would be found out in the window."""
    with night.stories.tell(Fault.DISK_FULL_AT_BASE_BACKUP) as story:
        with full_disk(night.host(night.new), leaving=60):
            story.refuses(night.operator.up("prepare").failed(), "No space left on device")
            night.takes_writes(night.old)
        night.up("prepare", higher=True)
        story.repairs("room on the disk", "pulumi config set round <one higher> && pulumi up")
    night.takes_writes(night.old)
