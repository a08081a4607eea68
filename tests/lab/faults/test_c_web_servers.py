"""One web server that is gone, or mute, while the others' names move to DB_B: the window goes back, and they write again."""

import pytest

from rehearsal.drill import web_servers
from rehearsal.drill.night import Night

pytestmark = pytest.mark.faults


def test_unreachable_at_readonly(night: Night) -> None:
    """The way back that waits for one dead web server keeps all the others from writing."""
    web_servers.unreachable_at_readonly(night)


def test_mute_at_readonly(night: Night) -> None:
    """A server that accepts and says nothing holds the engine for minutes, whatever the time-outs."""
    web_servers.mute_at_readonly(night)
