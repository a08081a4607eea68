"""What goes wrong on the way to `readonly`, and who tries to write behind the seal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from rehearsal.lab.place import LabError
from tests.lab.agent_by_hand import until
from tests.lab.faults.breakage import replay_paused
from tests.lab.faults.night import BACK, BY_HAND, Night
from tests.lab.faults.probe import Commit, connect, lost
from tests.lab.faults.story import Fault

pytestmark = pytest.mark.faults

SEALING = "from here on writes are refused"


def test_prepared_transaction(night: Night) -> None:
    """It outlives every session that the seal ends, and could be committed behind the fence."""
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app_writer'"
    with night.stories.tell(Fault.PREPARED_TRANSACTION) as story:
        night.psql("db1")("shop", "BEGIN; CREATE TABLE held (); PREPARE TRANSACTION 'left by an application'")
        story.refuses(night.operator.up("readonly").failed(), "the prepared transaction left by an application in shop")
        night.takes_writes("db1")
        assert night.journal("db1")["authority"] == "holds"
        assert int(night.psql("db1")("postgres", sessions)) > 0
        night.psql("db1")("shop", "ROLLBACK PREPARED 'left by an application'")
        night.operator.back_by_hand().done()
        night.finished("prepare")
        story.repairs("ROLLBACK PREPARED 'left by an application'", BY_HAND)


def test_lag_before(night: Night) -> None:
    """Whoever seals first and looks then refuses writes for as long as DB_A needs to catch up."""
    with night.stories.tell(Fault.LAG_BEFORE) as story:
        night.operator.limit(graceSeconds=3, lagBytes=1_000_000, lagSeconds=2)
        with replay_paused(night.psql("db-a")):
            night.psql("db1")("postgres", "SELECT pg_logical_emit_message(false, 'ballast', repeat('x', 4000000))")
            story.refuses(night.operator.up("readonly").failed(), "bytes behind within 2 s")
            night.takes_writes("db1")
        night.up("readonly")
        night.takes_writes()
        story.repairs("once DB_A has caught up: pulumi up")
        night.writes_are_back(night.operator.back_by_hand().done(), story)
        night.finished("prepare")
    night.takes_writes("db1")


def test_engine_killed_at_readonly(night: Night) -> None:
    """To the engine nothing happened, while the old primary seals on."""
    with night.stories.tell(Fault.ENGINE_KILLED_AT_READONLY) as story:
        running = night.operator.begin("readonly")
        running.until("db1-client-gate", SEALING)
        running.kill()
        night.operator.cancel()
        night.up("readonly")
        story.repairs("pulumi cancel && pulumi up")
    night.takes_writes()


def test_primary_dies_sealed(night: Night) -> None:
    """A seal that is only in memory opens by itself when the server comes back, and nobody notices."""
    fence = night.journal("db1")["fence"]
    with night.stories.tell(Fault.PRIMARY_DIES_SEALED) as story:
        night.host("db1").kill()
        night.takes_writes()
        night.host("db1").boot()
        until(lambda: "pg_hba.conf rejects connection" in night.probe.refusals["db1", "shop"])
        night.takes_writes()
        night.up("readonly", higher=True)
        assert night.journal("db1")["fence"]["xid"] == fence["xid"]
        story.repairs("nothing to repair: it is still sealed, its fence where it was", BACK)
        night.writes_are_back(night.operator.window("--back").end().done(), story)
        night.finished("prepare")
    night.takes_writes("db1")


@contextmanager
def hasty_writer(night: Night, commits: list[Commit]) -> Iterator[None]:
    """Commits that are acknowledged before they are on the disk, as fast as they come, for as long as they are accepted."""

    def write() -> None:
        with closing(connect("db1", "shop", options="-c synchronous_commit=off")) as session:
            try:
                while True:
                    commits.append(night.probe.write(session, "db1", "shop"))
                    time.sleep(0.002)
            except psycopg2.Error:
                return

    writing = threading.Thread(target=write)
    writing.start()
    yield
    writing.join(60)
    assert not writing.is_alive(), "its writes were accepted to the end"


def test_old_sessions(night: Night) -> None:
    """What gets in behind the fence is acknowledged, and lost with the old primary."""
    db1, hasty = night.host("db1"), list[Commit]()
    in_time, too_late = connect("db1", "shop"), connect("db1", "metrics")
    with night.stories.tell(Fault.OLD_SESSIONS) as story, closing(in_time), closing(too_late):
        for session in (in_time, too_late):
            session.cursor().execute("BEGIN; SELECT count(*) FROM ledger")
        with hasty_writer(night, hasty):
            running = night.operator.begin("readonly")
            running.until("db1-client-gate", SEALING)
            # A transaction from before the seal may still end well: then it is before the fence.
            committed = night.probe.write(in_time, "db1", "shop", begin="SELECT 1")
            running.end().done()
        night.finished("readonly")

        for session in (in_time, too_late):
            with pytest.raises(psycopg2.OperationalError):
                session.cursor().execute("INSERT INTO ledger VALUES (gen_random_uuid(), 'too late', 0)")
        # The probe's own session in `metrics`, where its role has default_transaction_read_only = off, has ended as well.
        until(lambda: "pg_hba.conf rejects connection" in night.probe.refusals["db1", "metrics"])
        for words in (("vacuumdb", "--all"), ("psql", "-c", "BEGIN READ WRITE")):
            with pytest.raises(LabError, match=r"pg_hba\.conf rejects connection") as refused:
                db1.run(list(words), user="postgres")
        story.refuses(night.probe.refusals["db1", "metrics"], "pg_hba.conf rejects connection")
        story.refuses(str(refused.value), "pg_hba.conf rejects connection")
        night.takes_writes()
        assert len(hasty) > 20
        until(lambda: lost([*hasty, committed], night.psql("db-a")) == [])

        night.writes_are_back(night.operator.back_by_hand().done(), story)
        night.finished("prepare")
        story.repairs("nothing to repair", BY_HAND)
    night.takes_writes("db1")


def test_engine_killed_at_prepare(night: Night) -> None:
    """The old primary is open again, the names still lead to DB_B: to whom looks at the old primary alone, all is well."""
    with night.stories.tell(Fault.ENGINE_KILLED_AT_PREPARE) as story:
        night.up("readonly")
        running = night.operator.begin("prepare", higher=True)
        running.until("db1-client-gate", "updated")
        running.kill()
        night.operator.cancel()
        night.up("prepare")
        story.repairs("pulumi cancel && pulumi up")
    night.takes_writes("db1")


def test_interrupted_at_readonly(night: Night) -> None:
    """A ^C that only ends the engine leaves writes refused, with nobody at work on it."""
    with night.stories.tell(Fault.INTERRUPTED_AT_READONLY) as story:
        running = night.operator.window()
        running.until("readonly: db1-client-gate done")
        night.interrupted_window_goes_back(running, story)
    night.takes_writes("db1")
