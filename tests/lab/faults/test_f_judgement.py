"""What the whole night cost: every acknowledged write is looked up, every read is counted, and the table is written."""

from __future__ import annotations

import pytest

from rehearsal.data.fill import LEDGER_DATABASES
from rehearsal.drill.night import BACK_LIMIT, Night
from rehearsal.drill.probe import acknowledged, authorities, lost
from rehearsal.drill.story import Row, keep, row
from rehearsal.rehearse import JUDGED
from rehearsal.traffic import install
from rehearsal.traffic.ledger import entries, reconcile
from rehearsal.traffic.log import counts, read_errors
from tests.lab.faults.table import KEPT

pytestmark = pytest.mark.faults


def test_nothing_was_lost_and_there_was_one_authority_at_a_time(night: Night) -> None:
    """Each story by itself may look well, and a write of the third be gone since the ninth."""
    install.stop(night.stage.clients)
    operations = night.operations()
    ledger = reconcile(operations, entries(night.psql(night.new), LEDGER_DATABASES))
    assert ledger.whole, (ledger.missing, ledger.torn, ledger.failed_present)
    assert lost(night.probe.commits, night.psql(night.new)) == []
    assert authorities([*night.probe.commits, *acknowledged(operations, night.stage.fleet)]) == ["db1 15", "db-a 17"]
    assert ledger.acknowledged > 1000
    assert len(night.probe.commits) > 100
    assert all(counts(operations)[client, "read"].total > 100 for client in JUDGED)

    rows: list[Row] = [
        row(story, night.stories, operations, ledger, night.online) for story in night.stories.in_order()
    ]
    assert [(one.fault, one.lost) for one in rows if one.lost] == []
    failed = read_errors([one for one in operations if one.client in JUDGED], set(night.online))
    assert [str(one) for one in failed if not night.stories.explain(one)] == []
    assert sum(one.read_errors for one in rows) == 0
    assert [(one.fault, one.back) for one in rows if one.back is not None and one.back > BACK_LIMIT] == []
    if night.stories.are_whole():
        keep(rows, KEPT)
