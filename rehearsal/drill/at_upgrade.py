"""What goes wrong while DB_A is upgraded, and the ways back from there: each ends with DB_A built anew beside the traffic."""

from __future__ import annotations

from rehearsal.drill.breakage import cut_ssh, full_disk, replay_paused, without_library
from rehearsal.drill.expect import expect
from rehearsal.drill.night import BACK, BY_HAND, GRACE, Night
from rehearsal.drill.story import Fault

LIBRARY = "/usr/lib/postgresql/17/lib/hstore.so"
AT_WORK = "pg_upgrade: Creating dump of global objects"


def lag_at_fence(night: Night) -> None:
    """A DB_A promoted short of the fence lacks the last writes, and looks whole."""
    with night.stories.tell(Fault.LAG_AT_FENCE) as story:
        night.operator.limit(graceSeconds=GRACE, replaySeconds=3)
        running = night.operator.begin("readonly")
        running.until(f"{night.old}-ready", "updated")
        with replay_paused(night.psql(night.new)):
            running.end().done()
            story.refuses(night.operator.up("upgrade").failed(), "DB_A to replay the fence")
            night.takes_writes()
            night.writes_are_back(night.operator.back_by_hand().done(), story)
        night.finished("prepare")
        story.repairs(BY_HAND)
        night.operator.limit(graceSeconds=GRACE)
    night.takes_writes(night.old)


def disk_full_at_upgrade(night: Night) -> None:
    """A cluster that pg_upgrade left half-way must not be started as if it were whole."""
    with night.stories.tell(Fault.DISK_FULL_AT_UPGRADE) as story:
        night.up("readonly", higher=True)
        running = night.operator.begin("upgrade")
        running.until(f"{night.new}-database", AT_WORK)
        with full_disk(night.host(night.new), leaving=1):
            said = story.refuses(running.end().failed(), "pg_upgrade to find the cluster upgradable")
            expect("No space left on device" in said, f"expected the full disk to be named, found: {said}")
            night.takes_writes()
            clusters = night.host(night.new).run(["pg_lsclusters", "--no-header"])
            expect("online" not in clusters, f"expected no cluster to run, found: {clusters}")
        night.writes_are_back(night.operator.back_by_hand().done(), story)
        night.finished("prepare")
        story.repairs("room on the disk", BY_HAND)
    night.takes_writes(night.old)


def library_missing(night: Night) -> None:
    """The check was made while the library was there; what fails after the promotion must still have a way on."""
    with night.stories.tell(Fault.LIBRARY_MISSING) as story:
        night.up("readonly", higher=True)
        with without_library(night.host(night.new), LIBRARY):
            said = night.operator.up("upgrade").failed()
            line = story.refuses(said, "pg_upgrade to find the cluster upgradable")
            expect("hstore" in line, f"expected the extension to be named, found: {line}")
            night.takes_writes()
        night.up("upgrade")
        night.takes_writes()
        story.repairs("the library put back: pulumi up", BACK)
        night.writes_are_back(night.operator.window("--back").end().done(), story)
        night.finished("prepare")
    night.takes_writes(night.old)


def interrupted_at_upgrade(night: Night) -> None:
    """pg_upgrade goes on by itself on DB_A when the engine ends; it must never end in a DB_A that takes writes."""
    with night.stories.tell(Fault.INTERRUPTED_AT_UPGRADE) as story:
        night.operator.raise_round()  # so that readonly waits until DB_A is built anew
        running = night.operator.window()
        running.until(f"cutover: {night.new}-database: {AT_WORK}")
        night.interrupted_window_goes_back(running, story)
    night.takes_writes(night.old)


def ssh_cut_at_upgrade(night: Night) -> None:
    """A pg_upgrade that dies with the connection, or a second one started beside it, ruins DB_A in the window."""

    def runs() -> int:
        return len(night.host(night.new).run(["find", "/var/lib/pgleap/pg_upgrade", "-name", "run-*"]).split())

    with night.stories.tell(Fault.SSH_CUT_AT_UPGRADE) as story:
        night.up("readonly", higher=True)
        before = runs()
        running = night.operator.begin("upgrade")
        running.until(f"{night.new}-database", AT_WORK)
        cut_ssh(night.host(night.new))
        story.refuses(running.end().failed(), "remote command exited without exit status")
        night.up("upgrade")
        expect(runs() == before + 1, "expected the run to go on by itself, and found that a second one was begun")
        story.repairs("pulumi up")
    night.takes_writes()


def interrupted_at_cutover(night: Night) -> None:
    """Between the release and the opening nobody holds the authority: a ^C there must give it back, and to one only."""
    with night.stories.tell(Fault.INTERRUPTED_AT_CUTOVER) as story:
        running = night.operator.window()
        running.until(f"cutover: {night.old}-announce done")  # its release is what comes next
        night.interrupted_window_goes_back(running, story)
    night.takes_writes(night.old)
