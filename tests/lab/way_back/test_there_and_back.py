"""There, two minutes of writes, and back: nothing is lost, and then there again. One story, in the order of its tests."""

from __future__ import annotations

import time

import pytest

from rehearsal import after
from rehearsal.data.compare import differences, fingerprint
from rehearsal.rehearse import JUDGED, ONLINE
from rehearsal.stage import Stage, psql_as_root
from rehearsal.traffic import install
from rehearsal.traffic.log import counts, read, read_errors
from rehearsal.traffic.outage import outage
from tests.lab.way_back import churn
from tests.lab.way_back.operator import forward, nothing_is_lost, script, status

pytestmark = pytest.mark.way_back

WRITING_SECONDS = 120.0
MOST_REFUSED = 10.0
# By design: what the stream does not carry is listed before the move, and by status.
NOT_CARRIED = ("table public.uncovered", "table public.basket")


def test_there(it: Stage) -> None:
    """What cannot be carried is told in prepare, while there is time."""
    it.pulumi.up().checked()
    told = it.pulumi.outputs()["afterCutover"]
    assert told["against"] == [], told
    assert any("public.uncovered" in one and "json cannot be compared" in one for one in told["notCovered"]), told
    forward(it)
    way = status(it)["wayBack"]
    assert way["lossless"] == "yes, but for these", way
    assert not way["afterCutover"]


def test_two_minutes_of_writes(it: Stage) -> None:
    """Every kind of write, in several databases, while the old primary follows."""
    db_a, began = psql_as_root(it.lab.host("db-a")), time.monotonic()
    number = 0
    while time.monotonic() - began < WRITING_SECONDS:
        churn.write(db_a, number)
        number += 1
        time.sleep(0.5)
    found = status(it)
    assert found["drift"] == [], found["drift"]
    assert found["wayBack"]["lossless"] == "yes, but for these", found["wayBack"]


def test_back(it: Stage) -> None:
    """Everything that DB_A took is on the old primary when it opens, and no number is given twice."""
    since = time.time()
    back = script(it, "scripts.window", "--back")
    assert back.returncode == 0, back.stdout + back.stderr
    time.sleep(5)
    install.collect(it.clients, it.logs)
    operations = read(it.logs)
    seen = outage(operations, ONLINE, since=since)
    assert seen.window is not None
    print(f"writes refused on the way back: {seen.window.seconds:.1f} s\n{back.stdout}")
    assert seen.window.seconds < MOST_REFUSED
    failed = [one for one in read_errors(operations, set(ONLINE)) if one.client in JUDGED]
    assert [str(one) for one in failed] == []
    assert all(counts(operations)[client, "read"].total > 100 for client in JUDGED)
    db1 = psql_as_root(it.lab.host("db1"))
    for table in ("keyed", "serial_key"):
        higher = f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')) > max(id) FROM {table}"
        assert db1(churn.DATABASE, higher).strip() == "t", table
    assert db1(churn.DATABASE, "SELECT rows = (SELECT count(*) FROM keyed) FROM totals").strip() == "t"


def test_nothing_is_lost(it: Stage) -> None:
    """Each acknowledged write is looked up on the old primary."""
    nothing_is_lost(it)


def test_there_again(it: Stage) -> None:
    """A fleet that went back goes forward again as if for the first time."""
    forward(it)
    db1, db_a = (psql_as_root(it.lab.host(name)) for name in ("db1", "db-a"))
    install.stop(it.clients)
    time.sleep(2)
    found = differences(fingerprint(db1), fingerprint(db_a))
    assert [one for one in found if not any(name in one for name in NOT_CARRIED)] == []
    install.start(it.clients)


def test_on_to_replicas(it: Stage) -> None:
    """A DB_A that was left and opened again has replicas like any other; the stories after this one go on from cutover."""
    it.pulumi.config_set("pgleap:phase", "replicas")
    it.pulumi.up().checked()
    assert after.wrong_with_replicas(it) == []
    assert status(it)["drift"] == []
    it.pulumi.config_set("pgleap:phase", "cutover")
    it.pulumi.config_set("pgleap:round", str(int(it.pulumi.config_get("pgleap:round")) + 1))
    it.pulumi.up().checked()
