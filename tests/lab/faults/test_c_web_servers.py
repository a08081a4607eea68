"""One web server that is gone, or mute, while the others' names move to DB_B: the window goes back, and they write again."""

from __future__ import annotations

import pytest

from tests.lab.faults.breakage import mute_sshd, off_the_network
from tests.lab.faults.night import BACK, Night
from tests.lab.faults.story import Fault

pytestmark = pytest.mark.faults


def test_unreachable_at_readonly(night: Night) -> None:
    """The way back that waits for one dead web server keeps all the others from writing."""
    with night.stories.tell(Fault.UNREACHABLE_AT_READONLY) as story:
        with off_the_network("web2"):
            story.explained.add("web2")
            ended = night.operator.window().end()
            assert ended.status == 3, ended.said
            story.refuses(ended.said, "web2-hosts-file failed")
            night.takes_writes("db1")
            night.write_again("web1", "web3")
        night.operator.window("--back").end().done()
        night.finished("prepare")
        night.write_again("web1", "web2", "web3")
        story.repairs("web2 back on the network", BACK)
    night.takes_writes("db1")


def test_mute_at_readonly(night: Night) -> None:
    """A server that accepts and says nothing holds the engine for minutes, whatever the time-outs."""
    with night.stories.tell(Fault.MUTE_AT_READONLY) as story:
        with mute_sshd(night.host("web2")):
            ended = night.operator.window("--deadline", "hosts-file=8").end()
            assert ended.status == 3, ended.said
            story.refuses(ended.said, "has been under way for 8 s, its deadline")
            night.takes_writes("db1")
            night.write_again("web1", "web3")
        night.operator.window("--back").end().done()
        night.finished("prepare")
        night.write_again("web1", "web2", "web3")
        story.repairs("web2's sshd restarted", BACK)
    night.takes_writes("db1")
