"""What stands against a way back that loses nothing: each is named by status, and refused before a write is.

One story, after test_there_and_back: the fleet stands in cutover.
"""

from __future__ import annotations

import time

import pytest

from rehearsal.lab import databases
from rehearsal.stage import Stage, psql_as_root
from tests.lab.way_back import churn
from tests.lab.way_back.operator import script, way_back

pytestmark = pytest.mark.way_back

# How soon a change shows: the copies are five seconds apart, and a subscription that stops is noticed at once.
SHOWS_SECONDS = 30.0
WRITING = "SET default_transaction_read_only = off;"


def answers(it: Stage, kind: str, words: str) -> None:
    """Status comes to say so."""
    deadline, found = time.monotonic() + SHOWS_SECONDS, way_back(it)
    while (found["lossless"] != kind or words not in " ".join(found["because"])) and time.monotonic() < deadline:
        time.sleep(1)
        found = way_back(it)
    assert found["lossless"] == kind, found
    assert words in " ".join(found["because"]), found


def back_is_refused(it: Stage, words: str) -> None:
    """The way back is refused, DB_A goes on taking writes, and cutover can be finished again."""
    back = script(it, "scripts.window", "--back")
    assert back.returncode == 3, back.stdout + back.stderr
    assert words in back.stdout, back.stdout
    assert psql_as_root(it.lab.host("db-a"))("postgres", "SHOW default_transaction_read_only").strip() == "off"
    it.pulumi.up().checked()


def test_a_table_made_on_db_a(it: Stage) -> None:
    """Definitions do not travel: the table would be gone."""
    db_a = psql_as_root(it.lab.host("db-a"))
    db_a("shop", "CREATE TABLE made_later (id int PRIMARY KEY);")
    answers(it, "no, because", "shop: table public.made_later was made")
    back_is_refused(it, "table public.made_later was made")
    db_a("shop", "DROP TABLE made_later;")
    answers(it, "yes, but for these", "public.uncovered")


def test_a_large_object(it: Stage) -> None:
    """They are in no publication; a way back would lose their content in silence."""
    db_a = psql_as_root(it.lab.host("db-a"))
    made = db_a("forum", "SELECT lo_from_bytea(0, 'only here');").strip()
    db_a("forum", "SELECT pg_stat_force_next_flush();")
    answers(it, "no, because", "forum: large objects was changed")
    db_a("forum", f"SELECT lo_unlink({made});")


def test_a_row_in_the_way(it: Stage) -> None:
    """The stream stops at a row that it cannot apply; which one, and what to do, must be said."""
    db1, db_a = (psql_as_root(it.lab.host(name)) for name in ("db1", "db-a"))
    db1(churn.DATABASE, f"{WRITING} INSERT INTO \"Emptied Often\" VALUES (4711, 'in the way');")
    db_a(churn.DATABASE, "INSERT INTO \"Emptied Often\" VALUES (4711, 'the real one');")
    answers(it, "no, because", "Key (id)=(4711) already exists")
    back_is_refused(it, "Key (id)=(4711) already exists")
    db1(churn.DATABASE, f'{WRITING} DELETE FROM "Emptied Often" WHERE id = 4711;')
    it.pulumi.config_set("pgleap:round", str(int(it.pulumi.config_get("pgleap:round")) + 1))
    it.pulumi.up().checked()
    deadline = time.monotonic() + SHOWS_SECONDS
    while churn_stopped(it) and time.monotonic() < deadline:
        time.sleep(1)
    assert not churn_stopped(it)
    assert db1(churn.DATABASE, 'SELECT v FROM "Emptied Often" WHERE id = 4711').strip() == "the real one"


def churn_stopped(it: Stage) -> bool:
    return "churn stopped" in " ".join(way_back(it)["because"])


def test_a_slot_that_is_lost(it: Stage) -> None:
    """DB_A's disk comes before the way back, if the stack says how much WAL it keeps."""
    db1, db_a = (psql_as_root(it.lab.host(name)) for name in ("db1", "db-a"))
    db1(churn.DATABASE, f"{WRITING} ALTER SUBSCRIPTION pgleap_back DISABLE;")
    db_a("postgres", "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'; SELECT pg_reload_conf();")
    for _ in range(4):
        db_a(churn.DATABASE, "CREATE TABLE filling AS SELECT generate_series(1, 100000); DROP TABLE filling;")
        db_a("postgres", "SELECT pg_switch_wal(); CHECKPOINT;")
    answers(it, "no, because", "churn's slot on DB_A is lost")
    back_is_refused(it, "churn's slot on DB_A is lost")


def test_db_a_without_power(it: Stage) -> None:
    """Refused until a person accepts it, with what would be lost; and no number is given twice after it."""
    db1, db_a = (psql_as_root(it.lab.host(name)) for name in ("db1", "db-a"))
    given = int(db_a(churn.DATABASE, "SELECT nextval('keyed_id_seq')"))
    time.sleep(7)  # a copy is made every five seconds
    it.lab.host("db-a").stop()
    answers(it, "no, because", "db-a")
    round_ = int(it.pulumi.config_get("pgleap:round")) + 1
    it.pulumi.config_set("pgleap:servers.db-a.lost", "true")
    it.pulumi.config_set("pgleap:phase", "prepare")
    it.pulumi.config_set("pgleap:round", str(round_))
    refused = it.pulumi.up()
    assert refused.exit != 0
    it.pulumi.config_set("pgleap:acceptDataLoss", "true")
    done = it.pulumi.up().checked()
    assert "given up: " in done.said
    assert "transactions, those since" in done.said
    assert databases.psql(it.lab.host("db1"), "shop", "SELECT pg_is_in_recovery()").strip() == "f"
    assert int(db1(churn.DATABASE, "SELECT nextval('keyed_id_seq')")) > given
    assert db1("postgres", "SELECT count(*) FROM pg_subscription").strip() == "0"
