"""What travels of the old primary's configuration: what it runs with, and nothing that would keep DB_A from replaying."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import access, client_rules, configuration, functions, standby
from agent.cluster import from_desired
from agent.configuration import Carried
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Refusal
from agent.server import Completed, Server
from tests.agent.fake_server import FakeServer
from tests.preflight.databases import BINARIES, Database, running

BEFORE = Carried({"work_mem": "4MB"}, {"jit": "off"}, "local all all peer\n", "")


def test_leftovers_of_a_recovery_and_slots_of_others_stay_behind() -> None:
    """A restored primary keeps recovery_target_time in its file, where it does nothing; a standby stops replaying there."""
    left = ("recovery_target_time", "recovery_min_apply_delay", "recovery_end_command", "restore_command", "hot_standby",
            "archive_cleanup_command", "promote_trigger_file", "synchronized_standby_slots", "primary_conninfo")  # fmt: skip
    rows = [{"name": name, "setting": "x", "by_alter_system": name < "r"} for name in left]
    assert configuration.carry(rows, "", "") == Carried({}, {}, "", "")


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (Carried({"work_mem": "8MB"}, {"jit": "off"}, BEFORE.hba, ""), ["settings: work_mem"]),
        (Carried({}, {}, BEFORE.hba, ""), ["settings: jit, work_mem"]),
        (Carried({"work_mem": "4MB", "jit": "off"}, {}, BEFORE.hba, ""), ["set elsewhere: jit"]),
        (
            Carried(BEFORE.by_file, BEFORE.by_alter_system, "", "a b c\n"),
            ["rules: pg_hba.conf", "rules: pg_ident.conf"],
        ),
        (BEFORE, []),
    ],
)
def test_what_changed_is_told_by_name(now: Carried, said: list[str]) -> None:
    """A value can be a password, as in archive_command or an LDAP rule."""
    assert configuration.differences(BEFORE, now) == said


@pytest.mark.parametrize(
    ("line", "leads"),
    [
        ("include /etc/postgresql/more.conf", True),
        ("include_if_exists 'more.conf'", True),
        ("include_dir conf.d", True),
        ("host @databases all 10.0.0.0/8 md5", True),
        ("host all alice,@admins,bob 10.0.0.0/8 md5", True),
        ("# include more.conf", False),
        ("host all all 10.0.0.0/8 md5 # @admins", False),
        ('host all "@alice" 10.0.0.0/8 md5', False),
        ("host app user@mail 10.0.0.0/8 md5", False),
    ],
)
def test_rules_that_lie_in_other_files_are_found(line: str, leads: bool) -> None:
    """DB_A would not start, or let nobody in by them: it has none of these files."""
    assert bool(configuration.rules_elsewhere(f"local all all peer\n{line}\n", "")) is leads


def test_what_was_carried_is_kept_for_root_alone_and_only_once_it_is_in_force(tmp_path: Path) -> None:
    """A run that died half-way left DB_A with half of it, and the next one must not take it for done."""
    server = FakeServer(tmp_path)
    assert configuration.kept(server) is None
    configuration.keep(server, BEFORE)
    assert configuration.kept(server) == BEFORE
    assert server.path(configuration.CARRIED_FILE).stat().st_mode & 0o777 == 0o600
    configuration.keep(server, None)
    assert configuration.kept(server) is None


class Shown(OtherSide):
    """A database of the test's own, asked as the superuser."""

    def __init__(self, database: Database) -> None:
        super().__init__(Server(), "db1", "127.0.0.1", database.port, "psql")
        self.database = database

    def ask(self, sql: str, database: str = "postgres", seconds: float | None = None) -> str:
        return self.database.sql(sql, database).strip()


@pytest.fixture(scope="module", params=[str(found.parent.name) for found in BINARIES])
def primary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A server of each version, with the functions by which the old primary shows its configuration."""
    (binaries,) = (found for found in BINARIES if found.parent.name == request.param)
    with running(tmp_path_factory.mktemp("primary"), {"max_connections": "150"}, binaries=binaries) as database:
        database.sql(f"CREATE SCHEMA pgleap; {functions._configuration('pgleap')}")
        yield database


def edit(database: Database, lines: str, *, load: bool = True) -> None:
    """Lines at the end of postgresql.conf."""
    with (database.data / "postgresql.conf").open("a") as file:
        file.write(lines)
    if load:
        reload(database)


def reload(database: Database) -> None:
    before = database.sql("SELECT pg_conf_load_time()")
    database.sql("SELECT pg_reload_conf()")
    for _ in range(100):
        if database.sql("SELECT pg_conf_load_time()") != before:
            return
        time.sleep(0.05)
    raise AssertionError("the configuration was not read again")


def carried(database: Database) -> dict[str, str]:
    found = configuration.read_old_primary(Shown(database))
    return {**found.by_file, **found.by_alter_system}


@pytest.mark.postgres
@pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
def test_running_values_are_carried(primary: Database) -> None:
    """Edited and waiting for a restart, max_connections and shared_preload_libraries vanished; set by the start's options, they were
    never seen."""
    edit(
        primary, "max_connections = 300\nshared_buffers = 16384\nwork_mem = 5000\nrecovery_min_apply_delay = '10min'\n"
    )
    found = carried(primary)
    assert found["max_connections"] == "150"
    assert found["work_mem"] == "5000kB"
    assert found.get("shared_buffers") != "16384"
    assert "recovery_min_apply_delay" not in found
    edit(primary, "max_wal_senders = 20\nshared_preload_libraries = 'auto_explain'\n")
    assert "auto_explain" not in carried(primary).get("shared_preload_libraries", "")
    edit(primary, "work_mem = '7MB'\n", load=False)
    assert carried(primary)["work_mem"] == "5000kB"


@pytest.mark.postgres
@pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
def test_what_only_the_asking_session_has_is_not_carried(primary: Database) -> None:
    """A setting of the database postgres, or pgleap's own statement_timeout of 0, would have become the whole server's."""
    edit(
        primary,
        "statement_timeout = '90s'\nTimeZone = 'Asia/Tokyo'\nsite.colour = 'blue'\nauto_explain.log_min_duration = 250\n",
    )
    primary.sql("ALTER DATABASE postgres SET statement_timeout = 0; ALTER DATABASE postgres SET work_mem = '1GB';")
    primary.sql("ALTER DATABASE postgres SET timezone = 'UTC'; ALTER SYSTEM SET jit = off;")
    reload(primary)
    try:
        found = configuration.read_old_primary(Shown(primary))
        assert found.by_file["statement_timeout"] == "90s"
        assert found.by_file["TimeZone"] == "Asia/Tokyo"
        assert found.by_file["site.colour"] == "blue"
        assert found.by_file["auto_explain.log_min_duration"] == "250"
        assert found.by_file.get("work_mem") != "1GB"
        assert found.by_alter_system["jit"] == "off"
        assert "search_path" not in found.by_file
    finally:
        primary.sql("ALTER DATABASE postgres RESET ALL; ALTER SYSTEM RESET jit;")


@pytest.mark.postgres
@pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
def test_what_is_carried_starts_a_server(primary: Database) -> None:
    """Values are written as PostgreSQL shows them: each must be one that it reads."""
    found = configuration.read_old_primary(Shown(primary))
    settings = {**found.by_file, **found.by_alter_system}
    text = configuration.render("all", settings)
    file = primary.folder / "carried.conf"
    file.write_text(text)
    told = primary.run("postgres", "-D", str(primary.data), "-c", f"config_file={file}", "-C", "max_connections")
    assert told.strip() == settings["max_connections"]


@pytest.mark.postgres
@pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
def test_rules_arrive_byte_by_byte(primary: Database) -> None:
    """A comment in Latin-1 was an invalid byte sequence, and prepare stood still over it."""
    rules = primary.data / "pg_hba.conf"
    before = rules.read_bytes()
    rules.write_bytes(before + b"# f\xfcr die Buchhaltung\n")
    reload(primary)
    assert configuration.read_old_primary(Shown(primary)).hba.encode(errors="surrogateescape") == rules.read_bytes()
    rules.write_bytes(before)
    reload(primary)


@pytest.mark.postgres
@pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
def test_rules_that_were_edited_and_not_read_are_refused(primary: Database) -> None:
    """The file is not what is in force."""
    rules = primary.data / "pg_hba.conf"
    before = rules.read_text()
    assert configuration.read_old_primary(Shown(primary)).hba == before
    time.sleep(1.1)  # times of files are in whole seconds
    rules.write_text(f"{before}host all all 10.9.0.0/16 md5\n")
    with pytest.raises(Refusal, match=r"as it has read them") as refused:
        configuration.read_old_primary(Shown(primary))
    assert str(rules) in refused.value.found
    reload(primary)
    assert "10.9.0.0/16" in configuration.read_old_primary(Shown(primary)).hba
    rules.write_text(before)
    time.sleep(1.1)
    reload(primary)


@pytest.mark.postgres
@pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
def test_the_names_of_the_control_file_are_read(primary: Database) -> None:
    """A standby with less than its primary had does not start; a name that PostgreSQL does not print would be no floor at all."""
    told = primary.run("pg_controldata", "-D", str(primary.data))
    assert all(f"{name} setting:" in told for name in standby.NO_LOWER)
    known = json.loads(primary.sql("SELECT json_agg(name) FROM pg_settings"))
    assert {*standby.NO_LOWER.values()} <= {*known}


def test_a_copied_postgresql_conf_keeps_nothing_of_its_own(tmp_path: Path) -> None:
    """Where configuration lies among the data, the base backup brought recovery_target_time along, and what waits for a restart."""
    server = FakeServer(tmp_path)
    cluster = from_desired({"version": 15, "layout": "rhel", "cluster": "main", "port": 5432, "superuser": "postgres"})
    main = server.path(cluster.config_file)
    main.parent.mkdir(parents=True)
    main.write_text("max_connections = 300\nrecovery_target_time = '2024-01-01'\n")
    configuration.write(server, cluster, BEFORE, {}, auto={}, main_is_a_copy=True)
    lines = [line for line in main.read_text().splitlines() if not line.startswith("#")]
    assert lines == [configuration.INCLUDE]


def test_a_standby_keeps_what_its_primary_lowered(tmp_path: Path) -> None:
    """It does not start with less than its control file says, and would be down until somebody reads its log."""
    server = FakeServer(tmp_path)
    told = "max_connections setting:              200\nmax_prepared_xacts setting:           0\nmax_locks_per_xact setting:  64\n"
    server.programs["/usr/lib/postgresql/15/bin/pg_controldata"] = lambda _: Completed(0, told, "")
    debian = {"version": 15, "layout": "debian", "cluster": "main", "port": 5432, "superuser": "postgres"}
    old = Postgres(server, from_desired(debian), "10.0.0.2")
    carried = Carried({"max_connections": "100", "max_locks_per_transaction": "128"}, {}, "", "")
    assert standby.floors(old, carried) == {"max_connections": "200"}
    assert standby.floors(old, Carried({}, {}, "", "")) == {"max_connections": "200", "max_locks_per_transaction": "64"}


@pytest.mark.parametrize("there", ["local all all trust\n", None], ids=["rules of before", "no file yet"])
def test_rules_are_carried_in_one_write_with_their_seal(
    tmp_path: Path, there: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written without it first, a reload or a crash in between left DB_A to whoever came."""
    server = FakeServer(tmp_path)
    cluster = from_desired(
        {"version": 15, "layout": "debian", "cluster": "main", "port": 5432, "superuser": "postgres"}
    )
    server.path(cluster.config).mkdir(parents=True)
    if there is not None:
        server.path(cluster.hba_file).write_text(there)
    written: list[str] = []
    monkeypatch.setattr(FakeServer, "owner", lambda *_: (os.getuid(), os.getgid()))
    whole = FakeServer.write_durably

    def noted(self: FakeServer, absolute: str, content: bytes, **how: Any) -> None:
        written.append(content.decode() if absolute == cluster.hba_file else "")
        whole(self, absolute, content, **how)

    monkeypatch.setattr(FakeServer, "write_durably", noted)
    instead = {cluster.hba_file: "host all all 10.0.0.0/8 md5\n", cluster.ident_file: ""}
    for expected in (2, 0):
        assert len(access.write_rules(server, cluster, [], sealed=True, instead=instead)) == expected
    (rules,) = filter(None, written)
    assert client_rules.holds(rules)
    assert rules.endswith(instead[cluster.hba_file])
