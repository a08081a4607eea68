"""docs/faults.md: it tells of exactly the faults that the lab makes, and its figures are those of a run that lost nothing."""

from __future__ import annotations

import re

import pytest

from rehearsal.drill.probe import Commit, acknowledged, authorities
from rehearsal.drill.story import Fault, Stories, Story, row
from rehearsal.lab.place import REPOSITORY
from rehearsal.traffic.ledger import Reconciliation
from rehearsal.traffic.log import Operation
from tests.lab.faults.table import PAGE, faults, page

STORIES = REPOSITORY / "rehearsal" / "drill"


def operation(start: float, **more: object) -> Operation:
    given = {"server": "web1", "client": "connect", "kind": "write", "name": "db1.internal.ln", "database": "shop"}
    return Operation(**{**given, "start": start, "end": start + 0.1, "ok": True, "outcome": "acknowledged", **more})  # type: ignore[arg-type]


def test_the_page_names_the_faults_that_there_are() -> None:
    """A story that was taken away would go on being told, and a new one would not be looked for."""
    assert faults(PAGE.read_text(encoding="utf-8")) == [fault.value for fault in Fault]


def test_every_fault_has_its_story() -> None:
    """A fault that no test makes would be a line that nothing proves."""
    told = [name for file in STORIES.glob("*.py") for name in re.findall(r"tell\(Fault\.(\w+)\)", file.read_text())]
    assert sorted(told) == sorted(fault.name for fault in Fault)


def test_a_row_counts_what_happened_while_its_story_was_told() -> None:
    """Figures of another story's time would call a loss somebody else's."""
    story = Story(Fault.LAG_BEFORE, since=10, until=20, explained={"web2"})
    lost = operation(12, id="gone")
    read_of = {"kind": "read", "outcome": None, "ok": False}
    operations = [lost, operation(5), operation(11), operation(13, **read_of), operation(14, server="web2", **read_of)]
    found = row(story, Stories([story]), operations, Reconciliation(acknowledged=3, missing=[lost]), ["web1", "web2"])
    assert (found.acknowledged, found.lost, found.reads, found.read_errors) == (2, 1, 2, 1)
    assert found.explained == {"web2": 1}
    assert faults(page([found])) == [Fault.LAG_BEFORE.value]


def test_two_databases_at_once_are_found() -> None:
    """A judge that sees one authority whatever happened is worse than none."""
    one = Commit("1", "shop", "db1", 15, sent=1.0, acknowledged=2.0)
    other = Commit("2", "shop", "db-a", 17, sent=3.0, acknowledged=3.1)
    assert authorities([other, one]) == ["db1 15", "db-a 17"]
    back = Commit("3", "shop", "db1", 15, sent=4.0, acknowledged=4.1)
    assert authorities([one, other, back]) == ["db1 15", "db-a 17", "db1 15"]
    at_once = Commit("4", "shop", "db-a", 17, sent=1.5, acknowledged=1.6)
    with pytest.raises(AssertionError, match="two databases took writes at once"):
        authorities([one, at_once])


def test_the_clients_own_writes_are_looked_at_too() -> None:
    """They are many more than the probe's."""
    assert acknowledged(
        [operation(1, id="a", address="10.77.0.14", version=170005), operation(2, outcome="failed")]
    ) == [Commit("a", "shop", "db-a", 17, 1, 1.1)]
