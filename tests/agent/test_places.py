"""Where things are, if not where a distribution has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import base_backup, cluster, pg_upgrade
from agent.cluster import Cluster, from_desired
from agent.server import Completed, Server
from tests.agent.fake_server import FakeServer

DESIRED = {"version": 17, "layout": "debian", "cluster": "main", "port": 5432, "superuser": "DBA-Root"}
LOCK = "4242\n/var/lib/postgresql/17/main\n1700000000\n5432\n{folder}\n127.0.0.1\n  5432001   1\nready\n"


def at(**more: object) -> Cluster:
    return from_desired({**DESIRED, **more})


@pytest.mark.parametrize(
    ("lock", "named", "found"),
    [
        (LOCK.format(folder="/tmp/sock"), "", "/tmp/sock"),
        (LOCK.format(folder="/tmp/sock"), "/srv/run", "/srv/run"),
        (LOCK.format(folder="run"), "", "/var/lib/postgresql/17/main/run"),
        (LOCK.format(folder="@pg"), "", "@pg"),
        (LOCK.format(folder=""), "", ""),
        ("4242\n", "", ""),
        ("", "/srv/run", "/srv/run"),
    ],
)
def test_a_socket_is_where_the_running_server_has_it(lock: str, named: str, found: str) -> None:
    """unix_socket_directories was set: every step failed, and the stack had no word for it."""
    assert cluster.socket_folder(at(socketFolder=named), lock) == found


def test_a_cluster_is_made_as_it_is_told(tmp_path: Path) -> None:
    """createcluster.conf had the data, or checksums, elsewhere: pg_upgrade found nothing where the new cluster was to be."""
    server = FakeServer(tmp_path)
    for program in ("pg_createcluster", "install"):
        server.programs[program] = lambda _: Completed(0, "", "")
    server.owner = lambda _: (0, 0)  # type: ignore[method-assign,assignment]
    base_backup.make_place(server, at(data="/srv/fast/17"))
    made = next(argv for argv in server.ran if argv[0] == "pg_createcluster")
    assert made[1:3] == ("--createclusterconf", "/dev/null")
    assert made[made.index("--datadir") + 1] == "/srv/fast/17"


def test_pg_upgrade_comes_as_a_superuser_of_any_name(tmp_path: Path) -> None:
    """By `peer` alone the operating system's postgres can be nobody but postgres: refused in the window, with both servers down."""
    server = FakeServer(tmp_path)
    server.programs["chown"] = lambda _: Completed(0, "", "")
    server.owner = lambda _: (0, 0)  # type: ignore[method-assign,assignment]
    pg_upgrade.prepare_folder(server, "run", "DBA-Root")
    assert server.path(pg_upgrade.UPGRADE_HBA).read_text() == "local all all peer map=pg_upgrade\n"
    assert server.path(pg_upgrade.ident_file()).read_text() == 'pg_upgrade postgres "DBA-Root"\n'
    argv = pg_upgrade.command(Server(), at(version=15), at(), "link", 2, check=True)
    for option in ("--old-options=", "--new-options="):
        (said,) = (word for word in argv if word.startswith(option))
        assert f"-c ident_file={pg_upgrade.ident_file()}" in said
