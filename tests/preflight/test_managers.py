"""Who else would act on a database server, or is connected to it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agent.access import MANAGERS
from agent.check_names import CheckName
from agent.checks import bystanders, managers
from agent.server import Completed
from tests.preflight.databases import BINARIES, Database
from tests.preflight.folders import Folder

on_postgres = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@contextmanager
def patroni(answer: object, status: int = 200) -> Iterator[int]:
    """Its REST API's port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/patroni" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("unit", [*MANAGERS, "stolon-keeper", "pacemaker"])
def test_a_manager_that_is_active(folder: Folder, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would promote an old replica while the primary is sealed: two databases that take writes."""
    monkeypatch.setattr(managers, "PATRONI_PORT", 1)
    assert folder.found(CheckName.CLUSTER_MANAGERS, address="127.0.0.1") == []
    folder.active = {unit}
    assert len(folder.found(CheckName.CLUSTER_MANAGERS, address="127.0.0.1")) == 1


def test_a_manager_under_another_units_name(folder: Folder) -> None:
    folder.process("pg_autoctl", "run")
    assert folder.found(CheckName.CLUSTER_MANAGERS) == ["pg_auto_failover runs"]


@pytest.mark.parametrize("status", [200, 503])
def test_patroni_that_is_paused(folder: Folder, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps refuse its unit all the same: what passes here would stop there."""
    folder.active = {"patroni"}
    with patroni({"role": "replica", "pause": True}, status) as port:
        monkeypatch.setattr(managers, "PATRONI_PORT", port)
        assert folder.found(CheckName.CLUSTER_MANAGERS) == [
            "patroni runs; it is paused, and its unit must be stopped too"
        ]
    with patroni({"role": "replica"}) as port:
        monkeypatch.setattr(managers, "PATRONI_PORT", port)
        assert folder.found(CheckName.CLUSTER_MANAGERS) == ["patroni runs"]


def test_pacemaker_in_maintenance(folder: Folder) -> None:
    folder.active = {"pacemaker", "corosync"}
    folder.write("/usr/sbin/crm_attribute", "")
    folder.server.programs["crm_attribute"] = lambda _: Completed(0, "true\n", "")
    assert folder.found(CheckName.CLUSTER_MANAGERS) == []
    folder.server.programs["crm_attribute"] = lambda _: Completed(6, "", "not found")
    assert folder.found(CheckName.CLUSTER_MANAGERS) == ["pacemaker runs"]


class TestOnPostgres:
    pytestmark = on_postgres

    def test_background_workers(self, database: Database) -> None:
        """PostgreSQL's own, on every version, are not somebody else's."""
        assert database.found(CheckName.BACKGROUND_WORKERS) == []

    def test_a_worker_that_is_not_postgresqls_own(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        """A scheduler of one's own writes behind every gate. One of PostgreSQL's stands in, as if it were not known."""
        monkeypatch.setattr(
            managers, "OWN", tuple(name for name in managers.OWN if name != "logical replication launcher")
        )
        (found,) = database.found(CheckName.BACKGROUND_WORKERS)
        assert found.startswith("the background worker logical replication launcher")

    def test_libraries_that_start_workers(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "agent.checks.sight.Sight.settings",
            lambda self: {"shared_preload_libraries": '"$libdir/timescaledb-2.14", pgaudit,pg_net'},
        )
        assert database.found(CheckName.BACKGROUND_WORKERS) == [
            "timescaledb in shared_preload_libraries: the step `ready` refuses it",
            "pg_net in shared_preload_libraries",
        ]

    def test_backups_that_are_connected(self, database: Database) -> None:
        assert database.found(CheckName.BACKUPS) == []
        with client(database, "barman_receive_wal"):
            (found,) = database.found(CheckName.BACKUPS)
        assert found == "barman_receive_wal of postgres from 127.0.0.1 (1 sessions)"
        with client(database, "pg_basebackup"):
            assert database.found(CheckName.BACKUPS, target={"db-a": "127.0.0.1"}) == [], (
                "that is DB_A's, and pgleap's own"
            )

    def test_a_backup_of_the_archive(self, database: Database) -> None:
        database.restart(archive_mode="on", archive_command="pgbackrest --stanza=main archive-push %p || true")
        assert database.found(CheckName.BACKUPS) == ["pgbackrest in archive_command"]
        database.restart()
        assert database.found(CheckName.BACKUPS) == []

    def test_monitoring(self, database: Database) -> None:
        """It alarms in the window, and watches the wrong server after it."""
        with client(database, "shop"):
            assert database.found(CheckName.MONITORING) == []
        with client(database, "postgres_exporter"):
            assert database.found(CheckName.MONITORING) == [
                "postgres in postgres from 127.0.0.1, 'postgres_exporter' (1 sessions)"
            ]

    def test_unknown_clients(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever the stack does not know is refused from the seal on, and nobody tells them where DB_A is."""
        with client(database, "report"):
            assert database.found(CheckName.UNKNOWN_CLIENTS, knownClients=["10.77.0.21"]) == [], "the server's own"
            monkeypatch.setattr(bystanders, "OWN_ADDRESSES", ())
            assert database.found(CheckName.UNKNOWN_CLIENTS, knownClients=["10.77.0.21", "127.0.0.1"]) == []
            found = database.found(CheckName.UNKNOWN_CLIENTS, knownClients=["10.77.0.21", "2001:db8::1"])
        assert found == ["postgres in postgres from 127.0.0.1, 'report' (1 sessions)"]

    @pytest.mark.parametrize("name", ["postgres_exporter", "barman_receive_wal"])
    def test_who_is_told_of_by_another_check(
        self, database: Database, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every fleet is watched and saved from a server of its own: a warning there, beside the note, is one too many to read on."""
        monkeypatch.setattr(bystanders, "OWN_ADDRESSES", ())
        with client(database, name):
            assert database.found(CheckName.UNKNOWN_CLIENTS, knownClients=["10.77.0.21"]) == []
            assert len(database.found(CheckName.MONITORING) + database.found(CheckName.BACKUPS)) == 1


@contextmanager
def client(database: Database, name: str) -> Iterator[None]:
    """A session over TCP."""
    where = f"host=127.0.0.1 port={database.port} user=postgres dbname=postgres application_name={name}"
    psql = [str(database.bin / "psql"), "-XAtq", where]
    with subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("SELECT 'inside';\n")
        process.stdin.flush()
        assert process.stdout.readline() == "inside\n"
        yield
        process.stdin.close()


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("/etc/cron.d/dump", "0 3 * * * postgres pg_dump shop > /srv/shop.sql\n", "pg_dump in /etc/cron.d/dump"),
        ("/var/spool/cron/crontabs/postgres", "0 3 * * * /usr/bin/wal-g backup-push\n", "wal-g in /var/spool/cron/crontabs/postgres"),
        ("/etc/cron.d/dump", "# 0 3 * * * postgres pg_dump shop\n", None),
        ("/etc/cron.d/dump", "0 3 * * * root /srv/pg_dump_old_reports\n", None),
        ("/etc/systemd/system/nightly.service", "[Service]\nExecStart=/usr/bin/pgbackrest backup\n", "pgbackrest by the timer nightly.timer"),
    ],
)  # fmt: skip
def test_backups_that_come_at_night(folder: Folder, path: str, text: str, found: str | None) -> None:
    """From cutover on they would save the old primary, and nobody would know until a restore."""
    folder.write("/etc/systemd/system/timers.target.wants/nightly.timer", "")
    folder.write(path, text)
    files = bystanders._backups(_Stopped(folder))  # type: ignore[arg-type]
    assert files == ([found] if found else [])


def test_backups_that_run(folder: Folder) -> None:
    folder.process("pg_receivewal")
    assert bystanders._backups(_Stopped(folder)) == ["pg_receivewal runs"]  # type: ignore[arg-type]


class _Stopped:
    """A sight of files alone: nobody is connected."""

    def __init__(self, folder: Folder) -> None:
        self.server = folder.server
        self.desired: dict[str, dict[str, str]] = {"target": {}}

    def text(self, path: str) -> str | None:
        file = self.server.path(path)
        return file.read_text() if file.is_file() else None

    def rows(self, query: str) -> list[dict[str, str]]:
        return []

    def settings(self) -> dict[str, str]:
        return {}
