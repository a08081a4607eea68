"""What goes wrong on the way to `readonly`, and who tries to write behind the seal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import psycopg2

from agent.subscriber import reached
from rehearsal.drill.breakage import left_prepared, replay_paused
from rehearsal.drill.consumer import NAME, consuming
from rehearsal.drill.expect import expect, refusal, until
from rehearsal.drill.night import BACK, BY_HAND, Night
from rehearsal.drill.probe import CONNECTION, Commit, lost
from rehearsal.drill.story import Fault
from rehearsal.lab.place import LabError

SEALING = "from here on writes are refused"
RULE = "pg_hba.conf rejects connection"


def prepared_transaction(night: Night) -> None:
    """It outlives every session that the seal ends, and could be committed behind the fence."""
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app_writer'"
    with night.stories.tell(Fault.PREPARED_TRANSACTION) as story:
        with left_prepared(night.psql(night.old), "left by an application"):
            said = night.operator.up("readonly").failed()
            story.refuses(said, "prepared-transactions: left by an application of ")
            night.takes_writes(night.old)
            authority = night.journal(night.old)["authority"]
            expect(authority == "holds", f"expected {night.old} to hold the authority, found: {authority}")
            expect(int(night.psql(night.old)("postgres", sessions)) > 0, "expected clients to stay, found none")
        night.operator.back_by_hand().done()
        night.finished("prepare")
        story.repairs("ROLLBACK PREPARED 'left by an application'", BY_HAND)


def lag_before(night: Night) -> None:
    """Whoever seals first and looks then refuses writes for as long as DB_A needs to catch up."""
    with night.stories.tell(Fault.LAG_BEFORE) as story:
        night.operator.limit(graceSeconds=3, lagSeconds=2)
        with replay_paused(night.psql(night.new)):
            night.psql(night.old)("postgres", "SELECT pg_logical_emit_message(false, 'ballast', repeat('x', 4000000))")
            story.refuses(night.operator.up("readonly").failed(), "wrote a moment ago within 2 s")
            night.takes_writes(night.old)
        night.up("readonly")
        night.takes_writes()
        story.repairs("once DB_A has caught up: pulumi up")
        night.writes_are_back(night.operator.back_by_hand().done(), story)
        night.finished("prepare")
    night.takes_writes(night.old)


def engine_killed_at_readonly(night: Night) -> None:
    """To the engine nothing happened, while the old primary seals on."""
    with night.stories.tell(Fault.ENGINE_KILLED_AT_READONLY) as story:
        running = night.operator.begin("readonly")
        running.until(f"{night.old}-client-gate", SEALING)
        running.kill()
        night.operator.cancel()
        night.up("readonly")
        story.repairs("pulumi cancel && pulumi up")
    night.takes_writes()


def primary_dies_sealed(night: Night) -> None:
    """A seal that is only in memory opens by itself when the server comes back, and nobody notices."""
    fence = night.journal(night.old)["fence"]
    with night.stories.tell(Fault.PRIMARY_DIES_SEALED) as story:
        night.host(night.old).kill()
        night.takes_writes()
        night.host(night.old).boot()
        refused_by_rule(night, "shop")
        night.takes_writes()
        night.up("readonly", higher=True)
        found = night.journal(night.old)["fence"]["xid"]
        expect(found == fence["xid"], f"expected the fence where it was, at {fence['xid']}; found it at {found}")
        story.repairs("nothing to repair: it is still sealed, its fence where it was", BACK)
        night.writes_are_back(night.operator.window("--back").end().done(), story)
        night.finished("prepare")
    night.takes_writes(night.old)


@contextmanager
def hasty_writer(night: Night, commits: list[Commit]) -> Iterator[None]:
    """Commits that are acknowledged before they are on the disk, as fast as they come, for as long as they are accepted."""

    over = threading.Event()

    def write() -> None:
        with closing(night.probe.connect(night.old, "shop", options="-c synchronous_commit=off")) as session:
            try:
                while not over.is_set():
                    commits.append(night.probe.write(session, night.old, "shop"))
                    time.sleep(0.002)
            except psycopg2.Error:
                return

    writing = threading.Thread(target=write)
    writing.start()
    try:
        yield
        writing.join(60)
        expect(not writing.is_alive(), "expected its writes to be refused, and they were accepted to the end")
    finally:
        over.set()


def refused_by_rule(night: Night, database: str) -> None:
    """Wait until the probe is kept out by pg_hba.conf."""
    refusals = night.probe.refusals
    until(
        lambda: RULE in refusals.get((night.old, database), ""), f"the probe to be refused in {database} by pg_hba.conf"
    )


def insert_late(session: CONNECTION) -> None:
    """What a session from before the seal tries after it."""
    session.cursor().execute("INSERT INTO ledger VALUES (gen_random_uuid(), 'too late', 0)")


def old_sessions(night: Night) -> None:
    """What gets in behind the fence is acknowledged, and lost with the old primary."""
    db1, hasty = night.host(night.old), list[Commit]()
    in_time, too_late = night.probe.connect(night.old, "shop"), night.probe.connect(night.old, "metrics")
    with night.stories.tell(Fault.OLD_SESSIONS) as story, closing(in_time), closing(too_late):
        for session in (in_time, too_late):
            session.cursor().execute("BEGIN; SELECT count(*) FROM ledger")
        with hasty_writer(night, hasty):
            running = night.operator.begin("readonly")
            running.until(f"{night.old}-client-gate", SEALING)
            # A transaction from before the seal may still end well: then it is before the fence.
            committed = night.probe.write(in_time, night.old, "shop", begin="SELECT 1")
            running.end().done()
        night.finished("readonly")

        for session in (in_time, too_late):
            refusal(psycopg2.OperationalError, partial(insert_late, session), "a session from before the seal")
        # The probe's own session in `metrics`, where its role has default_transaction_read_only = off, has ended as well.
        refused_by_rule(night, "metrics")
        said = [
            refusal(LabError, partial(db1.run, words, user="postgres"), " ".join(words))
            for words in (["vacuumdb", "--all"], ["psql", "-c", "BEGIN READ WRITE"])
        ]
        expect(all(RULE in one for one in said), f"expected every one to be refused by pg_hba.conf, found: {said}")
        story.refuses(night.probe.refusals[night.old, "metrics"], RULE)
        story.refuses(said[-1], RULE)
        night.takes_writes()
        expect(len(hasty) > 20, f"expected more than 20 hasty writes before the seal, found {len(hasty)}")
        until(
            lambda: lost([*hasty, committed], night.psql(night.new)) == [],
            f"every write from before the seal on {night.new}",
        )

        night.writes_are_back(night.operator.back_by_hand().done(), story)
        night.finished("prepare")
        story.repairs("nothing to repair", BY_HAND)
    night.takes_writes(night.old)


def logical_consumer(night: Night) -> None:
    """Its session speaks SQL, and can write as soon as it stops streaming; and its slot does not come along."""
    psql, ids = night.psql(night.old), "SELECT id FROM ledger"
    with night.stories.tell(Fault.LOGICAL_CONSUMER) as story:
        with consuming(night.host(night.old), psql, "shop") as consumer:
            # Its slot begins where it is made: what was written before that is nothing it is sent.
            before = set(psql("shop", ids).split())
            until(lambda: "INSERT" in consumer.received(), "the consumer to be sent what clients write")
            night.up("readonly")
            expect(not consumer.is_inside(), "expected the consumer to be ended, and it follows")
            night.takes_writes()

            # Everything that was acknowledged before the fence, and a person is told so.
            written, received = set(psql("shop", ids).split()) - before, consumer.received()
            missing = [one for one in written if one not in received]
            expect(
                written and not missing, f"expected it to have all of {len(written)} writes, {len(missing)} are missing"
            )
            told, fence = night.remembered(night.old, "consumers.json"), night.journal(night.old)["fence"]
            slot = told["slots"][NAME]
            expect(int(told["xid"]) == fence["xid"], f"expected it drained to the fence {fence}, found: {told}")
            expect(
                reached(slot["sent"], told["lsn"]), f"expected it to have been sent everything up to the fence: {told}"
            )
            expect("pg_recvlogical as postgres" in slot["consumer"], f"expected a person to be told who it is: {told}")

            until(lambda: RULE in consumer.said(), "the consumer to be refused by pg_hba.conf, and to go on trying")
            story.refuses(consumer.said(), RULE)
            expect(not consumer.is_inside(), "expected the consumer to stay out, and it follows again")
            night.takes_writes()
            night.up("readonly", higher=True)
            found = night.journal(night.old)["fence"]["xid"]
            expect(found == fence["xid"], f"expected the fence where it was, at {fence['xid']}; found it at {found}")

            night.writes_are_back(night.operator.back_by_hand().done(), story)
            night.finished("prepare")
            until(consumer.is_inside, "the consumer to go on by its slot")
        story.repairs("nothing to repair: it goes on by its slot", BY_HAND)
    night.takes_writes(night.old)


def engine_killed_at_prepare(night: Night) -> None:
    """The old primary is open again, the names still lead to DB_B: to whom looks at the old primary alone, all is well."""
    with night.stories.tell(Fault.ENGINE_KILLED_AT_PREPARE) as story:
        night.up("readonly")
        running = night.operator.begin("prepare", higher=True)
        running.until(f"{night.old}-client-gate", "updated")
        running.kill()
        night.operator.cancel()
        night.up("prepare")
        story.repairs("pulumi cancel && pulumi up")
    night.takes_writes(night.old)


def interrupted_at_readonly(night: Night) -> None:
    """A ^C that only ends the engine leaves writes refused, with nobody at work on it."""
    with night.stories.tell(Fault.INTERRUPTED_AT_READONLY) as story:
        running = night.operator.window()
        running.until(f"readonly: {night.old}-client-gate done")
        night.interrupted_window_goes_back(running, story)
    night.takes_writes(night.old)
