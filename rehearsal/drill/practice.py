"""Every way back practised with nothing broken, and the way forward again; and what brings a fleet to where a drill begins."""

from __future__ import annotations

import time

from rehearsal import rehearse
from rehearsal.drill.expect import WrongError
from rehearsal.drill.night import BACK, GRACE, Night
from rehearsal.drill.story import Practice, Story
from rehearsal.rehearse import Judgement

# The phases that there is a drilled way back from, and to.
PHASES = ("prepare", "readonly", "upgrade", "cutover")
# What clients write on DB_A before the way back that must not lose it.
WRITING_SECONDS = 20.0


def from_readonly(night: Night, _: Judgement) -> None:
    """Nothing has been upgraded: the old primary opens, and that is all."""
    _there_back_there(night, Practice.FROM_READONLY, "readonly")
    night.takes_writes()


def from_upgrade(night: Night, judged: Judgement) -> None:
    """DB_A is upgraded, and thrown away for it. Before the way back everything on it is compared with the old primary."""
    stand(night, "upgrade")
    rehearse.compare(night.stage, judged, night.report)
    _there_back_there(night, Practice.FROM_UPGRADE, "upgrade")
    night.takes_writes()


def from_cutover(night: Night, _: Judgement) -> None:
    """DB_A has taken writes: none of them may be lost."""
    stand(night, "cutover")
    time.sleep(WRITING_SECONDS)
    _there_back_there(night, Practice.FROM_CUTOVER, "cutover")
    night.takes_writes(night.new)


def stand(night: Night, phase: str | None) -> None:
    """Bring the fleet to this phase, finished, from wherever it is; None leaves it as it is. Raises what a command that fails raises."""
    if phase is None or night.stands() == (phase, True):
        return
    found = night.stands()
    if found is None:
        night.up("prepare")
    elif not found[1] or PHASES.index(found[0]) > PHASES.index(phase):
        _mend(night)
    elif found[0] == "prepare":
        _wait_for_target(night)
    for name in PHASES[1 : PHASES.index(phase) + 1]:
        if PHASES.index(_phase(night)) < PHASES.index(name):
            night.up(name)


def _mend(night: Night) -> None:
    """Back to prepare, also after a drill that broke off: what it left running is ended, what it left down is booted."""
    night.operator.settle()
    for host in night.stage.lab.hosts.values():
        host.boot()
    night.operator.limit(graceSeconds=GRACE)
    ended = night.operator.window("--back").end()
    try:
        # Where a first prepare had failed there was nothing to go back from, and this does it again.
        _wait_for_target(night)
    except WrongError as error:
        raise WrongError(f"expected the fleet back in prepare; found: {ended.said}\n{error}") from error


def _wait_for_target(night: Night) -> None:
    """After a way back DB_A is built anew while writes go on, and readonly is refused for as long as that takes: seconds or minutes, by the
    machine. In a higher round prepare waits for it."""
    night.up("prepare", higher=True)


def _phase(night: Night) -> str:
    found = night.stands()
    return found[0] if found else PHASES[0]


def _there_back_there(night: Night, practice: Practice, phase: str) -> None:
    stand(night, phase)
    with night.stories.tell(practice) as story:
        _back(night, story)
    began = time.monotonic()
    stand(night, phase)
    story.forward = round(time.monotonic() - began, 1)


def _back(night: Night, story: Story) -> None:
    ended = night.operator.window("--back").end().done()
    night.writes_are_back(ended, story, night.stage.fleet.primary.address)
    night.finished("prepare")
    night.takes_writes(night.old)
    story.repairs(BACK)
