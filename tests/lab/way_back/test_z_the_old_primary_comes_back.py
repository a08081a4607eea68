"""The old primary dies in the window, DB_A opens without it, and the old primary comes back: it never takes a write again.

One story, the last of this folder. It begins where test_what_stands_against_it ends: in prepare, with DB_A given up and without power.
"""

from __future__ import annotations

import time

import pytest

from rehearsal.drill.operator import Operator
from rehearsal.stage import Stage
from tests.lab.way_back.operator import open_databases, status

pytestmark = pytest.mark.way_back


def test_a_new_db_a_takes_the_place_of_the_one_that_was_given_up(it: Stage) -> None:
    """What DB_A took alone is on its disk: pgleap refuses to build it anew, and an empty server is what goes on."""
    db_a = it.lab.host("db-a")
    db_a.remove()
    db_a.boot()
    it.pulumi.config_set("pgleap:servers.db-a.lost", "false")
    it.pulumi.config_set("pgleap:acceptDataLoss", "false")
    Operator(it).up("prepare", higher=True).done()
    assert open_databases(it) == ["db1"]


def test_db_a_opens_without_the_old_primary(it: Stage) -> None:
    """A primary that dies in the window must not end it."""
    operator = Operator(it)
    operator.up("readonly").done()
    it.lab.host("db1").kill()
    it.pulumi.config_set("pgleap:servers.db1.lost", "true")
    operator.up("upgrade").done()
    operator.up("cutover").done()
    assert open_databases(it) == ["db-a"]


@pytest.mark.parametrize("phase", ["prepare", "upgrade", "cutover"])
def test_the_old_primary_that_comes_back_takes_no_writes(it: Stage, phase: str) -> None:
    """Its own journal says that it was never released: whoever believes it opens a second database."""
    it.lab.host("db1").boot()
    it.pulumi.config_set("pgleap:servers.db1.lost", "false")
    assert open_databases(it) == ["db-a"]
    ended = Operator(it).up(phase, higher=True)
    print(f"{phase}: exit status {ended.status}\n{ended.said}")
    assert open_databases(it) == ["db-a"]
    if phase == "prepare":
        ended.failed()


def test_what_is_advised_goes_on(it: Stage) -> None:
    """With `lost` said again the fleet is what it was; the old primary has to be made anew."""
    it.pulumi.config_set("pgleap:servers.db1.lost", "true")
    it.lab.host("db1").stop()
    Operator(it).up("cutover", higher=True).done()
    time.sleep(1)
    assert open_databases(it) == ["db-a"]
    assert [one for one in status(it)["drift"] if "db1" not in one] == []
