"""DB_B stops replaying on the way back, and is well again later: the way back goes on where it stopped, and loses nothing.

One story, after test_there_and_back: it begins and ends in cutover.
"""

from __future__ import annotations

import time

import pytest

from rehearsal.drill.breakage import replay_paused
from rehearsal.drill.operator import Operator
from rehearsal.stage import Stage, psql_as_root
from tests.lab.way_back import churn
from tests.lab.way_back.operator import forward, nothing_is_lost, open_databases

pytestmark = pytest.mark.way_back

REPLAY_SECONDS = 5
WRITING_SECONDS = 5.0


def test_a_late_db_b_keeps_the_old_primary_sealed(it: Stage) -> None:
    """Clients read on DB_B what it has not replayed: a way back that opened now would show them the past."""
    operator = Operator(it)
    operator.limit(replaySeconds=REPLAY_SECONDS)
    running = operator.window("--back")
    running.until("upgrade: db1-ready done")
    with replay_paused(psql_as_root(it.lab.host("db2"))):
        churn.write(psql_as_root(it.lab.host("db-a")), 4711)
        ended = running.end()
        assert ended.status == 3, ended.said
        assert "DB_B to replay up to" in ended.said, ended.said
        assert open_databases(it) == []


def test_it_opens_once_db_b_is_well(it: Stage) -> None:
    """A way back that cannot be repeated would leave writes refused on both databases, with everything applied."""
    Operator(it).window("--back").end().done()
    assert open_databases(it) == ["db1"]
    time.sleep(WRITING_SECONDS)
    nothing_is_lost(it)


def test_forward_again(it: Stage) -> None:
    """The stories after this one begin in cutover."""
    Operator(it).limit()
    Operator(it).up("prepare", higher=True).done()  # waits until DB_A is a standby again
    forward(it)
    assert open_databases(it) == ["db-a"]
