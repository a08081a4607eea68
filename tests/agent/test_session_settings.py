"""What a fleet sets for its databases and roles, and pgleap's own sessions beside it, on PostgreSQL servers of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent import coverage, credentials, functions, session_settings
from agent.checks.session import Session as Looking
from agent.client_rules import LOCAL_ROLE, READER
from agent.pg_upgrade import environment
from tests.agent.serving import MARKS, Serving, serving
from tests.preflight.databases import BINARIES

pytestmark = MARKS

# Setting -> a value that would do harm in a session of pgleap's.
HARMFUL = {
    "statement_timeout": "'1ms'",
    "lock_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'1ms'",
    "jit": "on",
    "role": "app",
    "search_path": "evil, pg_catalog",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "bytea_output": "escape",
    "DateStyle": "'SQL, DMY'",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-2",
    "client_min_messages": "debug5",
}
# First version -> those that it brought.
SINCE = {
    14: {"idle_session_timeout": "'1ms'"},
    17: {"transaction_timeout": "'1ms'"},
}
EVIL = """CREATE ROLE app; CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE VIEW evil.pg_database AS SELECT 0::oid AS oid, name 'evil' AS datname, true AS datallowconn, false AS datistemplate;
CREATE FUNCTION evil.json_agg(json) RETURNS json LANGUAGE sql AS 'SELECT NULL::json';
CREATE FUNCTION evil.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true';"""


@pytest.fixture(scope="module", params=BINARIES, ids=lambda binaries: binaries.parent.name)
def it(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for found in serving(request.param, monkeypatch):
            for sql in credentials.role_statements(found.postgres, READER, "a password").values():
                found.postgres.execute(sql)
            functions.make(found.postgres, "postgres")
            found.sql(EVIL)
            yield found


def _harmful(version: int) -> dict[str, str]:
    late = {name: value for since, those in SINCE.items() if version >= since for name, value in those.items()}
    return {**HARMFUL, **late}


@pytest.fixture(params=("for the database", "for the role"))
def harmful(it: Serving, request: pytest.FixtureRequest) -> Iterator[Serving]:
    """All of it at once."""
    whose = "DATABASE postgres" if request.param == "for the database" else f"ROLE {LOCAL_ROLE}"
    settings = _harmful(it.version).items()
    it.sql("BEGIN; " + "".join(f"ALTER {whose} SET {name} = {value}; " for name, value in settings) + "COMMIT")
    yield it
    it.sql(f"ALTER {whose} RESET ALL", "template1")


def test_every_setting_of_a_session_is_tried(it: Serving) -> None:
    tried = {*_harmful(it.version), "session_preload_libraries", "event_triggers", "session_replication_role"}
    assert {*session_settings.superusers(it.version)} <= tried


def test_a_session_is_as_it_is_read(harmful: Serving) -> None:
    """Of root's, and of the other side's, which is no superuser."""
    for ask, wanted in (
        (harmful.postgres.value, session_settings.superusers(harmful.version)),
        (lambda text: harmful.other_side().ask(f"SELECT {text};"), session_settings.OF_ALL),
    ):
        found = {name: ask(f"current_setting('{name}')") for name in wanted}
        assert found == dict(wanted)


def test_what_is_asked_is_asked_of_the_catalog(harmful: Serving) -> None:
    postgres = harmful.postgres
    assert "postgres" in postgres.databases()
    assert not postgres.in_recovery()
    assert postgres.value("pg_sleep(0.05)") == ""
    assert postgres.value(r"length('a\b')") == "3"
    assert harmful.other_side().ask("SELECT pg_sleep(0.05), pg_is_in_recovery();") == "|f"
    looking = Looking(postgres.server, postgres.cluster.program("psql"), harmful.version, _login(harmful))
    try:
        assert looking.rows("SELECT current_user::text AS who, pg_is_in_recovery() AS standby") == [
            {"who": LOCAL_ROLE, "standby": False}
        ]
    finally:
        looking.close()


def test_functions_are_made_and_answer(harmful: Serving) -> None:
    postgres = harmful.postgres
    postgres.execute("DROP SCHEMA pgleap CASCADE;", writing=True)
    functions.make(postgres, "postgres")
    assert functions.missing(postgres, coverage.databases(postgres)) == []
    harmful.other_side().ask("SELECT count(*) FROM pgleap.settings();")


def test_pg_upgrade_is_not_ended(harmful: Serving) -> None:
    """psql in the place of pg_upgrade's own sessions: the same library reads the same variable."""
    cluster = harmful.postgres.cluster
    where = {
        "PGHOST": str(harmful.database.folder),
        "PGPORT": str(cluster.port),
        "PGUSER": LOCAL_ROLE,
        "PGDATABASE": "postgres",
    }
    done = harmful.postgres.server.run(
        cluster.program("psql"), "-XAtqc", "SELECT current_user, current_setting('transaction_isolation') FROM pg_sleep(0.05)",
        environment={**where, **environment(cluster)},
    )  # fmt: skip
    assert done.stdout.strip() == f"{LOCAL_ROLE}|read committed"


def test_the_role_of_the_other_side_is_made_once(it: Serving) -> None:
    """What only a superuser may set is set for the role; a role that lacks it is mended."""
    password = "a password"
    assert credentials.role_statements(it.postgres, READER, password) == {}
    it.sql(f"ALTER ROLE {READER} RESET ALL")
    assert bool(credentials.role_statements(it.postgres, READER, password)) == (it.version >= 14)


def _login(it: Serving) -> tuple[None, dict[str, str]]:
    where = {"PGHOST": str(it.database.folder), "PGPORT": str(it.database.port)}
    return None, {**where, "PGUSER": LOCAL_ROLE, "PGDATABASE": "postgres"}
