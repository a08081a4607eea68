"""Fence, proof and release between db1 and a DB_A that is played: an empty cluster of the new version with a journal written by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from agent.postgres import PASSWORD_FILE
from agent.states import Phase, Verb
from rehearsal.lab import databases
from rehearsal.lab.fleet import NEW_VERSION, READS_FROM, named
from rehearsal.lab.lab import Lab
from tests.lab.agent_by_hand import (
    PASSWORD,
    DatabaseServer,
    Session,
    connected,
    gate,
    is_refused,
    prepared_primary,
    until,
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def primary(filled_lab: Lab) -> Iterator[DatabaseServer]:
    with prepared_primary(filled_lab) as db1:
        yield db1


@pytest.fixture
def db1(primary: DatabaseServer, db_a: DatabaseServer) -> Iterator[DatabaseServer]:
    """The old primary, sealed; afterwards open, whatever the journals say."""
    gate(primary, Phase.READONLY)
    yield primary
    db_a.remember(authority="none", epoch=0, renounced=0, fence=None, upgraded_at=None)
    primary.remember(authority="holds", fence=None)
    gate(primary, Phase.PREPARE)


@pytest.fixture(scope="module")
def db_a(filled_lab: Lab) -> Iterator[DatabaseServer]:
    """DB_A with a cluster of its own, which is taken away again."""
    host = filled_lab.host("db-a")
    options = ("-o", "listen_addresses=*", "-o", "max_prepared_transactions=2")
    host.run(["pg_createcluster", *options, "--start", str(NEW_VERSION), "main"])
    try:
        server = DatabaseServer(filled_lab, "db-a", NEW_VERSION)
        desire = server.desire(Phase.PREPARE)
        server.run(Verb.ANNOUNCE, desire.move("DB_A"))
        server.run(Verb.ACCESS, {"postgres": desire.new_postgres(), "readers": [named("db1").address]})
        server.run(Verb.CREDENTIALS, {"password": PASSWORD, "owns_role": True, "postgres": desire.new_postgres()})
        yield server
        server.forget()
    finally:
        host.run(["pg_dropcluster", "--stop", str(NEW_VERSION), "main"])
        # It leaves the copies that were made of its rules, and the folder with them.
        host.run(["rm", "-r", f"/etc/postgresql/{NEW_VERSION}"])


def release(db1: DatabaseServer) -> dict[str, Any]:
    return gate(db1, Phase.CUTOVER)


def release_refused(db1: DatabaseServer) -> str:
    before = db1.state()
    said = db1.refused(Verb.CLIENT_GATE, db1.desire(Phase.CUTOVER).old_primary_gate())
    assert db1.state() == before
    return said


def upgraded_at(db_a: DatabaseServer, fence: dict[str, Any]) -> None:
    db_a.remember(phase="upgrade", authority="none", epoch=0, renounced=0, upgraded_at=fence)


def from_target(lab: Lab) -> Session:
    """pgleap's own session on db1, from DB_A: the one that a seal lets stay."""
    return Session(
        lab, "db-a", f"sudo -n env PGPASSFILE={PASSWORD_FILE} psql -h {named('db1').address} -U pgleap postgres"
    )


def test_the_fence_waits_for_transactions_that_hold_an_id(primary: DatabaseServer, db_a: DatabaseServer) -> None:
    """A fence before their end would pass for the last write, and theirs would come after it."""
    holder = from_target(primary.lab)
    xid = int(holder.ask("BEGIN READ WRITE; SELECT pg_current_xact_id()"))
    sealing = primary.start(Verb.CLIENT_GATE, primary.desire(Phase.READONLY).old_primary_gate())
    time.sleep(2)
    assert sealing.poll() is None
    assert primary.journal()["fence"] is None
    holder.ask("COMMIT")
    _, said = sealing.communicate()
    assert sealing.returncode == 0, said
    assert primary.journal()["fence"]["xid"] == xid + 1
    gate(primary, Phase.PREPARE)


def test_reads_leave_the_fence_where_it_is(db1: DatabaseServer) -> None:
    """A fence that moved under reads would call off an upgrade in which nothing was written."""
    read = "SELECT count(*) FROM pg_class; SELECT count(*) FROM ledger; SELECT sum(relpages) FROM pg_class"
    db1.psql("shop", read)
    databases.psql(db1.lab.host(READS_FROM), "shop", read)
    assert gate(db1, Phase.READONLY)["changed"] == []


def test_a_write_after_the_fence_is_never_released(db1: DatabaseServer, db_a: DatabaseServer) -> None:
    """DB_A was upgraded without it: released all the same, the write would be gone."""
    fence = db1.journal()["fence"]
    upgraded_at(db_a, fence)
    under_way = from_target(db1.lab)
    under_way.ask("BEGIN READ WRITE; SELECT pg_current_xact_id()")
    assert f"the next transaction id still {fence['xid']}" in release_refused(db1)
    under_way.ask("ROLLBACK")
    db1.psql("shop", "BEGIN READ ONLY; SELECT lo_unlink(lo_create(0)); COMMIT")
    said = release_refused(db1)
    assert "something wrote after the fence" in said
    assert "pulumi config set phase upgrade && pulumi config set round 2 && pulumi up" in said
    assert "go back: pulumi config set phase prepare && pulumi config set round 2 && pulumi up" in said
    assert gate(db1, Phase.READONLY)["fence"]["xid"] > fence["xid"]
    assert "DB_A upgraded from exactly this fence" in release_refused(db1)


def test_a_seal_that_somebody_opened_by_hand_is_no_seal(db1: DatabaseServer, db_a: DatabaseServer) -> None:
    """Whoever got in meanwhile is still inside when the rules are as they were, and nothing was written yet."""

    def reload() -> None:
        db1.psql("postgres", "SELECT pg_reload_conf()")

    upgraded_at(db_a, db1.journal()["fence"])
    db1.host.run(["cp", "--archive", db1.hba, f"{db1.hba}.sealed"])
    db1.host.run(["sed", "--in-place", "/^# sealed/,/^host all all all reject/d", db1.hba])
    reload()
    until(lambda: not is_refused("postgres", "night_job"))
    assert "pg_hba.conf lets clients in" in release_refused(db1)
    inside = connected("postgres", "night_job")
    db1.host.run(["mv", f"{db1.hba}.sealed", db1.hba])
    reload()
    until(lambda: is_refused("postgres", "night_job"))
    assert "1 client sessions are inside" in release_refused(db1)
    assert gate(db1, Phase.READONLY)["changed"] == ["ended 1 sessions"]
    with pytest.raises(psycopg2.OperationalError):
        inside.cursor().execute("SELECT 1")


def test_authority_is_with_one_database_at_a_time(db1: DatabaseServer, db_a: DatabaseServer) -> None:
    """Two that open, each because of what the other said a while ago, are two databases that take writes."""

    def target(phase: Phase) -> list[str]:
        facts = db_a.run(Verb.CLIENT_GATE, db_a.desire(phase).target_gate())
        changed: list[str] = facts["changed"]
        return changed

    def target_refused(phase: Phase) -> str:
        before = db_a.state()
        said = db_a.refused(Verb.CLIENT_GATE, db_a.desire(phase).target_gate())
        assert db_a.state() == before
        return said

    def open_refused() -> str:
        before = db1.state()
        said = db1.refused(Verb.CLIENT_GATE, db1.desire(Phase.PREPARE).old_primary_gate())
        assert db1.state() == before
        return said

    epoch = db1.journal()["epoch"]
    upgraded_at(db_a, db1.journal()["fence"])
    target(Phase.UPGRADE)
    assert "its journal says: sealed" in target_refused(Phase.CUTOVER)
    first = release(db1)
    assert (first["authority"], first["epoch"]) == ("released to DB_A", epoch + 1)
    assert release(db1)["changed"] == []
    assert "pulumi config set phase upgrade" in open_refused()

    # Called off before DB_A opened: it renounces, db1 takes back, and that release is worth nothing any more.
    assert f"DB_A to have renounced epoch {epoch + 1}" in db1.refused(
        Verb.CLIENT_GATE, db1.desire(Phase.UPGRADE).old_primary_gate()
    )
    assert target(Phase.UPGRADE) == [f"renounced epoch {epoch + 1}"]
    assert target(Phase.UPGRADE) == []
    assert f"a release newer than epoch {epoch + 1}" in target_refused(Phase.CUTOVER)
    assert gate(db1, Phase.UPGRADE)["epoch"] == epoch + 2
    assert gate(db1, Phase.UPGRADE)["changed"] == []

    assert release(db1)["epoch"] == epoch + 3
    assert target(Phase.CUTOVER)
    assert target(Phase.CUTOVER) == []
    assert db_a.journal()["authority"] == "holds"
    assert "pulumi config set phase upgrade" in open_refused()

    # The way back from an open DB_A: only once it was announced, and db1 does not open without a stream that brought it everything.
    db_a.remember(**{**db_a.journal(), "phase": "cutover"})
    assert "a DB_A that is not open" in target_refused(Phase.UPGRADE)
    db_a.remember(**{**db_a.journal(), "phase": "upgrade"})
    assert any("renounced epoch" in one for one in target(Phase.UPGRADE))
    assert db_a.journal()["authority"] == "sealed"
    taken_back = gate(db1, Phase.UPGRADE)
    assert taken_back["epoch"] == epoch + 4
    assert db1.journal()["must_apply"] == db_a.journal()["fence"]
    assert "postgres has no slot on DB_A" in open_refused()
    assert release(db1)["epoch"] == epoch + 5
    assert target(Phase.CUTOVER)
    assert db_a.journal()["authority"] == "holds"


def test_a_prepared_transaction_is_refused_before_anything_is_touched(
    db1: DatabaseServer, db_a: DatabaseServer
) -> None:
    """It holds its locks and its id through every seal: found later, writes would be refused for as long as it stands."""
    desire = db_a.desire(Phase.READONLY)
    as_primary = {
        **desire.old_primary_gate(),
        "postgres": desire.new_postgres(),
        "otherSide": desire.other_side(desire.settings.primary),
    }
    db_a.remember(authority="holds", epoch=db1.journal()["epoch"] + 1, fence=None)
    open_ = {
        **db_a.desire(Phase.PREPARE).old_primary_gate(),
        **{key: as_primary[key] for key in ("postgres", "otherSide")},
    }
    db_a.run(Verb.CLIENT_GATE, open_)
    db_a.psql("postgres", "BEGIN; CREATE TABLE held (); PREPARE TRANSACTION 'left by an application'")
    before = db_a.state()
    said = db_a.refused(Verb.CLIENT_GATE, as_primary)
    assert "the prepared transaction left by an application in postgres" in said and "COMMIT PREPARED" in said
    assert db_a.state() == before
    db_a.psql("postgres", "ROLLBACK PREPARED 'left by an application'")


def test_a_subscription_is_refused_before_anything_is_touched(primary: DatabaseServer) -> None:
    """Its apply worker heeds neither rules nor settings: it would go on writing behind the fence."""
    primary.psql(
        "shop",
        "CREATE SUBSCRIPTION from_elsewhere CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p"
        " WITH (connect = false, slot_name = 'elsewhere'); ALTER SUBSCRIPTION from_elsewhere ENABLE",
    )
    before = primary.state()
    said = primary.refused(Verb.CLIENT_GATE, primary.desire(Phase.READONLY).old_primary_gate())
    assert "the enabled subscription from_elsewhere" in said and "ALTER SUBSCRIPTION ... DISABLE" in said
    assert primary.state() == before
    primary.psql(
        "shop",
        "ALTER SUBSCRIPTION from_elsewhere DISABLE; ALTER SUBSCRIPTION from_elsewhere SET (slot_name = NONE);"
        "DROP SUBSCRIPTION from_elsewhere",
    )
