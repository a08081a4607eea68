"""Statistics of a database with a table that cannot be analyzed, on PostgreSQL servers of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from agent import statistics
from agent.client_rules import LOCAL_ROLE
from tests.agent.serving import MARKS, Serving, serving
from tests.preflight.databases import BINARIES

pytestmark = MARKS

# The function finds `helper` under a client's search_path, and not under the one that ANALYZE has.
FAILS = """CREATE FUNCTION helper(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
CREATE FUNCTION norm(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN helper($1); END';
CREATE TABLE unfit (x text); CREATE INDEX ON unfit (norm(x)); INSERT INTO unfit SELECT 'Aa' || i FROM generate_series(1, 1000) i;"""
ROWS = """CREATE TABLE "after Wards" (x int); INSERT INTO "after Wards" SELECT generate_series(1, 1000);"""
NAMES = ["app", "a=b", "it's \\ odd", "zeta"]
HAVING = "SELECT string_agg(DISTINCT tablename, ', ') FROM pg_stats WHERE schemaname = 'public'"


@pytest.fixture(scope="module", params=BINARIES, ids=lambda binaries: binaries.parent.name)
def server(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for found in serving(request.param, monkeypatch):
            monkeypatch.setattr(statistics, "SOCKET_FOLDER", str(found.database.folder))
            for name in NAMES:
                found.sql(f'CREATE DATABASE "{name}"')
                for line in [FAILS, ROWS] if name == "app" else [ROWS]:
                    found.database.run("psql", "-XqAt", "-d", named(name), text=line)
            yield found


def named(name: str) -> str:
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{quoted}'"


def gathers(server: Serving) -> subprocess.CompletedProcess[str]:
    """What the unit on DB_A does."""
    owed = str(server.postgres.server.path(statistics.OWED_FILE))
    command = [owed if word == statistics.OWED_FILE else word for word in statistics.unit(server.postgres, 2)]
    environment = {**os.environ, **statistics.environment_of(server.postgres, LOCAL_ROLE)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def having(server: Serving, name: str) -> str:
    return server.database.run("psql", "-XqAt", "-d", named(name), "-c", HAVING).strip()


def test_systemd_reads_it_as_it_stands(server: Serving) -> None:
    """In a unit a percent sign and a backslash mean something else, as does the end of a line; what is in braces is the unit's own."""
    command = " ".join(statistics.unit(server.postgres, 2))
    assert not [sign for sign in ("%", "\\", "\n", "${", "$$") if sign in command]


def test_a_table_that_cannot_be_analyzed_holds_up_no_other(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table and every database after it would have no statistics, and answer as if it were down."""
    monkeypatch.setattr(statistics, "_state", lambda _: "failed")
    assert statistics.seen(server.postgres, 2) is None
    statistics.owe(server.postgres.server)
    before = statistics.seen(server.postgres, 2)
    assert before is not None
    assert before["without"] == {
        "app": {"tables": 2, "largest": ['public."after Wards"', "public.unfit"]},
        **{name: {"tables": 1, "largest": ['public."after Wards"']} for name in NAMES[1:]},
    }
    done = gathers(server)
    assert [having(server, name) for name in NAMES] == ["after Wards"] * 4, done.stderr
    assert done.returncode != 0
    after = statistics.seen(server.postgres, 2)
    assert after is not None, "they stay owed"
    assert after["without"] == {"app": {"tables": 1, "largest": ["public.unfit"]}}
    assert "helper(text) does not exist" in done.stderr
    assert "ANALYZE public.unfit" in done.stderr
    server.sql("ALTER FUNCTION norm(text) SET search_path = public", "app")
    done = gathers(server)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "pgleap: every table has statistics"
    assert statistics.seen(server.postgres, 2) is None
    assert having(server, "app").split(", ")[:2] == ["after Wards", "unfit"]
