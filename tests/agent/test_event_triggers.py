"""Event triggers of a fleet beside pgleap's own statements: one that writes down what is done, one that forbids it; on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent import credentials, functions, publisher, session_settings, short_locks, views
from agent.check_names import CheckName
from agent.client_rules import READER
from agent.other_side import OtherSide
from agent.subscriber import SUBSCRIPTION, Subscriber
from tests.agent.serving import MARKS, Serving, serving
from tests.preflight.databases import BINARIES

pytestmark = MARKS

TRIGGERS = """CREATE TABLE k (a text); CREATE TABLE ddl_log (id serial PRIMARY KEY, what text);
CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n FROM k; CREATE UNIQUE INDEX ON seen (n);
CREATE FUNCTION log_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
  AS $$ BEGIN INSERT INTO ddl_log (what) VALUES (tg_tag); END $$;
CREATE FUNCTION forbids() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  IF session_user <> 'migrator' THEN RAISE EXCEPTION '% is for migrator', tg_tag; END IF; END $$;
CREATE EVENT TRIGGER log_ddl ON ddl_command_end EXECUTE FUNCTION log_ddl();
CREATE EVENT TRIGGER log_drop ON sql_drop EXECUTE FUNCTION log_ddl();
CREATE EVENT TRIGGER forbids ON ddl_command_start EXECUTE FUNCTION forbids();"""
LOGIN = """CREATE FUNCTION forbids_login() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$ BEGIN
  INSERT INTO ddl_log (what) VALUES ('login of ' || session_user);
  IF session_user <> 'postgres' THEN RAISE EXCEPTION 'not by %', session_user; END IF; END $$;
CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION forbids_login();"""


@pytest.fixture(scope="module", params=BINARIES, ids=lambda binaries: binaries.parent.name)
def it(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for found in serving(request.param, monkeypatch):
            for sql in credentials.role_statements(found.postgres, READER, "a password").values():
                found.postgres.execute(sql)
            found.sql(TRIGGERS)
            yield found


def test_they_neither_fire_for_nor_forbid_what_pgleap_does(it: Serving) -> None:
    postgres = it.postgres
    functions.make(postgres, "postgres")
    publisher.make_ready(postgres, [], 1)
    assert it.sql("SELECT relreplident FROM pg_class WHERE relname = 'k'") == "f"
    subscriber = Subscriber(postgres, OtherSide(postgres.server, "db-a", "127.0.0.1", it.database.port, "psql"), 1)
    # Its CREATE would log in at the other side; everything else of the statement is as subscribe() has it.
    postgres.execute(
        f"CREATE SUBSCRIPTION {SUBSCRIPTION} CONNECTION 'host=127.0.0.1' PUBLICATION {SUBSCRIPTION} WITH (connect = false, slot_name = NONE);",
        writing=True,
    )
    assert subscriber.drop() == ["postgres follows DB_A no more"]
    assert views.refresh(postgres, "postgres") == []
    publisher.take_away(postgres)
    assert it.sql("SELECT relreplident FROM pg_class WHERE relname = 'k'") == "d"
    short_locks.each(postgres, ["ALTER TABLE public.k REPLICA IDENTITY DEFAULT;"], "postgres")
    functions.drop(postgres)
    assert it.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgleap'") == "0"
    assert it.sql("SELECT count(*) FROM ddl_log") == "0"


def test_an_update_of_an_extension_fires_none(it: Serving) -> None:
    """As update_extensions.sql does it on DB_A, with another role as the owner: what fired there would not be on the old primary."""
    it.postgres.execute(
        "CREATE EXTENSION pg_stat_statements SCHEMA public VERSION '1.9'; ALTER EXTENSION pg_stat_statements UPDATE;",
        writing=True,
        as_role="postgres",
    )
    assert it.sql("SELECT count(*) FROM ddl_log") == "0"


def test_a_login_is_not_stopped(it: Serving) -> None:
    if it.version < session_settings.EVENT_TRIGGERS_OFF_SINCE:
        pytest.skip("no trigger fires at a login before 17")
    it.sql("SET event_triggers = off; " + LOGIN)
    try:
        assert it.postgres.value("1") == "1"
        assert it.other_side().ask("SELECT 1;") == "1"
        assert it.sql("SET event_triggers = off; SELECT count(*) FROM ddl_log WHERE what LIKE '%pgleap%'") == "0"
    finally:
        it.sql("SET event_triggers = off; DROP EVENT TRIGGER on_login; TRUNCATE ddl_log")


def test_those_that_fire_all_the_same_are_refused_beforehand(it: Serving) -> None:
    """Of two versions, the older decides: the acts are on both sides."""
    new = it.database.desired()["newPostgres"]

    def found(new_version: int) -> list[str]:
        return it.database.found(CheckName.EVENT_TRIGGERS_ALWAYS, newPostgres={**new, "version": new_version})

    assert found(17) == []
    it.sql("ALTER EVENT TRIGGER log_ddl ENABLE ALWAYS; ALTER EVENT TRIGGER forbids ENABLE REPLICA")
    refused = [
        "postgres: forbids, on ddl_command_start, ENABLE REPLICA",
        "postgres: log_ddl, on ddl_command_end, ENABLE ALWAYS",
    ]
    assert found(16) == refused
    assert found(17) == (refused if it.version < 17 else [])
    it.sql("ALTER EVENT TRIGGER log_ddl ENABLE; ALTER EVENT TRIGGER forbids ENABLE")
    assert found(16) == []
