"""A standby of a test's own server."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.cluster import OS_USER
from tests.preflight.databases import Database


@contextmanager
def standby_of(primary: Database, folder: Path) -> Iterator[Database]:
    """It streams over TCP from 127.0.0.1, as replicas do; `folder` is below the primary's, where the server's user gets through. Gone afterwards."""
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, OS_USER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = Database(folder, free.getsockname()[1], primary.bin, dict(primary.settings))
    upstream = f"host=127.0.0.1 port={primary.port} user=postgres"
    primary.run("pg_basebackup", "-D", str(found.data), "-d", upstream, "-R", "-X", "stream", "-c", "fast", "--no-sync")
    found.start()
    try:
        until(primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
        yield found
    finally:
        found.stop()


def until(database: Database, condition: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while database.sql(condition).strip() != "t":
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)


def set_to(database: Database, **settings: str | None) -> None:
    """ALTER SYSTEM, in force for sessions to come; None takes it back."""
    for name, value in settings.items():
        quoted = (value or "").replace("'", "''")
        database.sql(f"ALTER SYSTEM RESET {name}" if value is None else f"ALTER SYSTEM SET {name} = '{quoted}'")
    before = database.sql("SELECT extract(epoch FROM pg_conf_load_time())").strip()
    database.sql("SELECT pg_reload_conf()")
    until(database, f"SELECT extract(epoch FROM pg_conf_load_time())::text <> '{before}'")
