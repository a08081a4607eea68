"""One web server that is gone, or mute, while the others' names move to DB_B: the window goes back, and they write again."""

from __future__ import annotations

from rehearsal.drill.breakage import mute_sshd, off_the_network
from rehearsal.drill.expect import expect
from rehearsal.drill.night import BACK, Night
from rehearsal.drill.story import Fault


def unreachable_at_readonly(night: Night) -> None:
    """The way back that waits for one dead web server keeps all the others from writing."""
    first, second, *others = night.online
    with night.stories.tell(Fault.UNREACHABLE_AT_READONLY) as story:
        with off_the_network(night.host(second)):
            story.explained.add(second)
            ended = night.operator.window().end()
            expect(ended.status == 3, f"expected exit status 3, found {ended.status}: {ended.said}")
            story.refuses(ended.said, f"{second}-hosts-file failed")
            night.takes_writes(night.old)
            night.write_again(first, *others)
        night.operator.window("--back").end().done()
        night.finished("prepare")
        night.write_again(first, second, *others)
        story.repairs(f"{second} back on the network", BACK)
    night.takes_writes(night.old)


def mute_at_readonly(night: Night) -> None:
    """A server that accepts and says nothing holds the engine for minutes, whatever the time-outs."""
    first, second, *others = night.online
    with night.stories.tell(Fault.MUTE_AT_READONLY) as story:
        with mute_sshd(night.host(second)):
            ended = night.operator.window("--deadline", "hosts-file=8").end()
            expect(ended.status == 3, f"expected exit status 3, found {ended.status}: {ended.said}")
            story.refuses(ended.said, "has been under way for 8 s, its deadline")
            night.takes_writes(night.old)
            night.write_again(first, *others)
        night.operator.window("--back").end().done()
        night.finished("prepare")
        night.write_again(first, second, *others)
        story.repairs(f"{second}'s sshd restarted", BACK)
    night.takes_writes(night.old)
