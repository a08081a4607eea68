"""The present counts, from what the two database servers answer."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.forecast import counts
from scripts.forecast.counts import CountsError
from tests.preflight.answers import FakeFleet

COUNTED: dict[str, Any] = {
    "databases": 5,
    "relations": 700,
    "mostRelations": 300,
    "largeObjects": 20,
    "dataBytes": 10**9,
}


def test_the_shape_of_a_fleet() -> None:
    """A forecast for another fleet than the one that is upgraded."""
    fleet = FakeFleet(postgres={"jobs": 4, "transferMode": "copy"})
    fleet.say("db1", **COUNTED)
    fleet.say("db-a", cores=16, memoryBytes=2**34)
    found = counts.shape(fleet.settings, fleet.said)
    assert (found.databases, found.relations, found.most_relations, found.large_objects) == (5, 700, 300, 20)
    assert (found.bytes, found.jobs, found.transfer_mode, found.old, found.new) == (10**9, 4, "copy", 15, 17)
    assert (found.servers, found.online, found.cores, found.memory_bytes) == (8, 2, 16, 2**34)


def test_a_db_a_that_is_not_there_yet_takes_no_forecast_away() -> None:
    """Before `prepare` it would be asked for in vain, when the night is being agreed on."""
    fleet = FakeFleet()
    fleet.say("db1", **COUNTED)
    said = {name: one for name, one in fleet.said.items() if name != "db-a"}
    assert counts.shape(fleet.settings, said).cores == 0


def test_what_is_not_known_is_not_taken_for_none() -> None:
    """With 0 relations for unknown ones the forecast is short, and wrong."""
    fleet = FakeFleet()
    fleet.say("db1", **{**COUNTED, "relations": {"unseen": "permission denied"}})
    with pytest.raises(CountsError, match="permission denied"):
        counts.shape(fleet.settings, fleet.said)
