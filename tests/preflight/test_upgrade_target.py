"""What the new version's programs say of DB_A's standby: its own server, and an empty cluster of the new version beside it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import pg_upgrade, trial, trial_mark
from agent.check_names import CheckName
from agent.checks.upgrade_check import REPORTS, worded
from agent.client_rules import LOCAL_ROLE
from agent.cluster import from_desired
from agent.postgres import Postgres
from agent.server import Server
from tests.preflight.databases import BINARIES, Database, running

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(len(BINARIES) < 2, reason="no two versions of PostgreSQL at /usr/lib/postgresql/*/bin"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the agent runs programs as the user postgres, which only root may"),
]

NEW = BINARIES[-1] if BINARIES else Path()
SHARE = f"/usr/share/postgresql/{NEW.parent.name}"


@pytest.fixture(scope="module")
def standby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """In recovery, and following nobody; with an empty cluster of the new version, as `prepare` makes it."""
    folder = tmp_path_factory.mktemp("standby")
    with running(folder) as database:
        database.sql("CREATE TABLE odd (what regproc); CREATE ROLE reporter")
        database.run("pg_ctl", "-D", str(database.data), "-m", "fast", "-w", "stop")
        (database.data / "standby.signal").touch()
        database.start()
        new = Database(folder, database.port, NEW)
        new.run("initdb", "-D", str(folder / "new"), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        yield database


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, standby: Database) -> Iterator[Path]:
    """The agent's state folder, which the user postgres has to get through, and the socket of the test's server."""
    folder = standby.folder / "state"
    folder.mkdir()
    monkeypatch.setattr(pg_upgrade, "WORK_FOLDER", str(folder / "pg_upgrade"))
    monkeypatch.setattr(pg_upgrade, "UPGRADE_HBA", str(folder / "hba.conf"))
    monkeypatch.setattr(pg_upgrade, "UPGRADE_HBA_RULES", "local all all trust\n")
    monkeypatch.setattr(pg_upgrade, "SOCKET_FOLDER", str(standby.folder))
    yield folder
    shutil.rmtree(folder)


def _restart(standby: Database, **settings: str) -> None:
    standby.run("pg_ctl", "-D", str(standby.data), "-m", "fast", "-w", "stop")
    standby.settings = settings
    standby.start()


def test_pg_upgrade_refuses(standby: Database, state: Path) -> None:
    """Its reports lie in files on a server that nobody looks at; the names of the columns must come along."""
    (found,) = standby.found(CheckName.PG_UPGRADE)
    assert found.startswith("tables_using_reg.txt, columns of reg* types")
    assert "postgres: public.odd.what -- ALTER TABLE" in found


def test_pg_upgrade_is_content(standby: Database, state: Path) -> None:
    """An older run's reports must not be told again."""
    assert len(standby.found(CheckName.PG_UPGRADE)) == 1
    _promoted(standby, "ALTER TABLE odd RENAME TO even; ALTER TABLE even ALTER what TYPE text")
    assert standby.found(CheckName.PG_UPGRADE) == []
    _promoted(standby, "ALTER TABLE even RENAME TO odd; ALTER TABLE odd ALTER what TYPE regproc USING NULL")


def test_pg_upgrade_fails_without_a_report(standby: Database, state: Path) -> None:
    """Then what it said itself is told, and no report of the run before."""
    assert len(standby.found(CheckName.PG_UPGRADE)) == 1
    (found,) = standby.found(CheckName.PG_UPGRADE, transferMode="no-such-mode")
    assert "no-such-mode" in found and "tables_using_reg" not in found


def _promoted(standby: Database, sql: str) -> None:
    """Have it changed as a primary, and make it a standby again."""
    (standby.data / "standby.signal").unlink()
    _restart(standby)
    standby.sql(sql)
    (standby.data / "standby.signal").touch()
    _restart(standby)


def test_libraries_are_really_loaded(standby: Database) -> None:
    """The usual ones are not refused."""
    assert standby.found(CheckName.PRELOAD_LIBRARIES) == []
    _restart(standby, shared_preload_libraries="pg_stat_statements, auto_explain")
    assert standby.found(CheckName.PRELOAD_LIBRARIES) == []


def test_a_library_that_the_new_version_has_not(standby: Database) -> None:
    """Its server would not start, with writes refused. One that only sessions load keeps every client out."""
    _restart(
        standby, shared_preload_libraries="old_snapshot, pg_stat_statements", session_preload_libraries="adminpack"
    )
    first, second = standby.found(CheckName.PRELOAD_LIBRARIES)
    assert first.startswith('old_snapshot (shared_preload_libraries): could not access file "old_snapshot"')
    assert second.startswith('adminpack (session_preload_libraries): could not access file "adminpack"')
    _restart(standby)


def test_a_library_that_one_role_loads(standby: Database) -> None:
    """Such a setting stands in no file."""
    _promoted(standby, "ALTER ROLE reporter SET session_preload_libraries = 'elsewhere'")
    (found,) = standby.found(CheckName.PRELOAD_LIBRARIES)
    assert found.startswith("elsewhere (session_preload_libraries of reporter in all databases): could not")
    _promoted(standby, "ALTER ROLE reporter RESET ALL")
    assert standby.found(CheckName.PRELOAD_LIBRARIES) == []


def test_a_library_that_does_not_load(standby: Database) -> None:
    """A file of that name is no proof: another version's library is refused only when it is loaded."""
    wrong = standby.folder / "wrong.so"
    shutil.copy(standby.bin.parent / "lib" / "auto_explain.so", wrong)
    wrong.chmod(0o755)
    _restart(standby, session_preload_libraries=str(wrong))
    (found,) = standby.found(CheckName.PRELOAD_LIBRARIES)
    assert "incompatible library" in found
    _restart(standby)


def test_without_a_new_cluster_files_are_looked_for(standby: Database) -> None:
    """Before `prepare` has made it, a missing library can be told already, and no more than that."""
    nowhere: dict[str, Any] = {**standby.desired()["newPostgres"], "data": "/nowhere", "config": "/nowhere"}
    _restart(standby, shared_preload_libraries="old_snapshot")
    (found,) = standby.found(CheckName.PRELOAD_LIBRARIES, newPostgres=nowhere)
    assert found.startswith("old_snapshot (shared_preload_libraries): no file ")
    _restart(standby, shared_preload_libraries="auto_explain")
    result = standby.look(CheckName.PRELOAD_LIBRARIES, newPostgres=nowhere)
    assert result.unseen is not None and "once `prepare` has made it" in result.unseen
    result = standby.look(CheckName.PG_UPGRADE, newPostgres=nowhere)
    assert result.unseen is not None and "once `prepare` has made it" in result.unseen
    _restart(standby)


def test_every_report_of_the_programs_here_is_known() -> None:
    """A report that is not known is told without a word on what to do."""
    named = {
        match.decode()
        for version in BINARIES
        for match in re.findall(rb"(?<![%a-z0-9_])[a-z0-9_]+\.txt(?=\0)", (version / "pg_upgrade").read_bytes())
    }
    assert named and named - set(REPORTS) == set()


def test_reports_in_words() -> None:
    libraries = ['could not load library "$libdir/x": ERROR: no', "In database: shop"]
    columns = ["In database: shop", "public.a.b", "In database: forum", "public.c.d"]
    logs = {"pg_upgrade_server.log": ['FATAL:  lock file "postmaster.pid" already exists']}
    found = worded(
        {**logs, "loadable_libraries.txt": libraries, "new_one.txt": ["a", "b"], "tables_using_reg.txt": columns}
    )
    assert [line.split(" --")[0] for line in found] == [
        'loadable_libraries.txt, libraries that the new version cannot load: could not load library "$libdir/x": ERROR: no; In database: shop',
        "new_one.txt: a; b",
        "tables_using_reg.txt, columns of reg* types, which hold oids that are not kept: shop: public.a.b; forum: public.c.d",
    ]
    assert worded(logs) == ['pg_upgrade_server.log: FATAL:  lock file "postmaster.pid" already exists']


def test_extensions_on_a_standby(standby: Database) -> None:
    """What is compared is what the packages here brought, by pg_config of the new version."""
    _promoted(standby, "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION adminpack")
    (missing,) = standby.found(CheckName.EXTENSIONS_MISSING)
    assert missing == f"adminpack 2.1 (in postgres): no adminpack.control in {SHARE}/extension"
    (update,) = standby.found(CheckName.EXTENSION_UPDATES)
    assert update.startswith("pg_stat_statements 1.10 -> 1.")
    assert standby.found(CheckName.EXTENSION_PATHS) == []
    _promoted(standby, "DROP EXTENSION pg_stat_statements; DROP EXTENSION adminpack")
    assert standby.found(CheckName.EXTENSIONS_MISSING) == []


def test_views_on_what_an_extension_makes_again(standby: Database) -> None:
    """Its update fails over them, after pg_upgrade: with writes refused and DB_A half ready."""
    _promoted(
        standby,
        "CREATE EXTENSION pg_stat_statements; CREATE VIEW slow AS SELECT * FROM pg_stat_statements;"
        "CREATE VIEW since AS SELECT stats_reset FROM pg_stat_statements_info",
    )
    assert standby.found(CheckName.EXTENSION_DEPENDENTS) == [
        "postgres: the view slow on pg_stat_statements of pg_stat_statements"
    ]
    _promoted(standby, "DROP VIEW slow")
    assert standby.found(CheckName.EXTENSION_DEPENDENTS) == []
    _promoted(standby, "DROP VIEW since; DROP EXTENSION pg_stat_statements")


def test_what_the_schema_trial_came_to(standby: Database, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that found something, and that nobody hears of until the night, is none."""
    monkeypatch.setattr(trial, "RECORD", str(state / "trial.json"))
    result = standby.look(CheckName.SCHEMA_TRIAL)
    assert result.unseen is not None and "not tried yet: `prepare` does it" in result.unseen
    # Its operators are written otherwise where public is in the search_path.
    _promoted(standby, f"CREATE ROLE {LOCAL_ROLE} SUPERUSER LOGIN; CREATE EXTENSION citext")
    monkeypatch.setattr("agent.postgres.SOCKET_FOLDER", str(standby.folder))
    desired = standby.desired()
    as_the_agent = Postgres(Server(), from_desired(desired["postgres"]), "127.0.0.1")
    mark = trial_mark.take(as_the_agent, Server(), from_desired(desired["newPostgres"]), 2).text
    record = {"mark": mark, "found": []}
    (state / "trial.json").write_text(json.dumps(record))
    assert standby.found(CheckName.SCHEMA_TRIAL) == []
    (state / "trial.json").write_text(json.dumps({**record, "found": ["shop: TABLE public items: no -- drop it"]}))
    assert standby.found(CheckName.SCHEMA_TRIAL) == ["shop: TABLE public items: no -- drop it"]
    (state / "trial.json").write_text(json.dumps(record))
    _promoted(standby, "CREATE TABLE made_since (id int)")
    result = standby.look(CheckName.SCHEMA_TRIAL)
    assert result.unseen is not None and "changed since the schema was tried" in result.unseen
    _promoted(standby, f"DROP TABLE made_since; DROP EXTENSION citext; DROP ROLE {LOCAL_ROLE}")


def test_before_there_is_a_db_a_the_schema_trial_says_when(database: Database) -> None:
    """On the first day nothing can be tried; silence would look like a trial that went well."""
    result = database.look(CheckName.SCHEMA_TRIAL)
    assert result.unseen is not None and "standby" in result.unseen
