"""The programs that restore a schema, called as pg_upgrade calls them: its dump.c, pg_upgrade.c and server.c, versions 13 to 18. Pure."""

from __future__ import annotations

import re
import shlex
from typing import Dict, List, Mapping

from agent.cluster import Cluster
from agent.qualified import connection_string

# Of pg_restore's actions, how many pg_upgrade has in one transaction (from 17 on), among all that restore side by side; and the fewest.
# Each object holds locks until then: more of them need a larger lock table.
ACTIONS, FEWEST_ACTIONS = 1000, 10
# They are there in the new cluster before anything is restored, so pg_upgrade has them dropped and made.
MADE_BY_INITDB = ("template1", "postgres")
_TABLESPACE = re.compile(rb"^(CREATE TABLESPACE .*) LOCATION (?:E|)'(?:[^']|'')*';$", re.MULTILINE)


def dump_globals(new: Cluster, file: str) -> List[str]:
    """Roles, their settings and memberships, tablespaces: of the old cluster, by the new version's program."""
    return [
        new.program("pg_dumpall"), "--globals-only", "--quote-all-identifiers", "--binary-upgrade", "--no-sync", f"--file={file}",
    ]  # fmt: skip


def dump(new: Cluster, database: str, file: str) -> List[str]:
    """One database's definitions, with the oids and files that pg_upgrade keeps."""
    # 18 carries statistics and sequences' values in it.
    what = ["--no-data", "--sequence-data", "--statistics"] if new.version >= 18 else ["--schema-only"]
    return [
        new.program("pg_dump"), *what, "--quote-all-identifiers", "--binary-upgrade", "--format=custom", "--no-sync",
        f"--file={file}", f"--dbname={connection_string(database)}",
    ]  # fmt: skip


def restore_globals(new: Cluster, file: str) -> List[str]:
    """Unlike pg_upgrade's it goes on after an error, so that all of them are told."""
    return [new.program("psql"), "--no-psqlrc", "--dbname=template1", f"--file={file}"]


def restore(new: Cluster, database: str, file: str, jobs: int) -> List[str]:
    """`jobs`: databases that are restored side by side."""
    clean = ["--clean"] if database in MADE_BY_INITDB else []
    return [
        new.program("pg_restore"), *clean, "--create", "--exit-on-error", "--verbose", *_transactions(new.version, database, jobs),
        _to(database), file,
    ]  # fmt: skip


def restore_all_that_can_be(new: Cluster, database: str, file: str) -> List[str]:
    """Once more, after an error at which pg_upgrade would have stopped, past every error: one run is to tell them all."""
    return [new.program("pg_restore"), "--clean", "--if-exists", "--create", "--verbose", _to(database), file]


def contents(new: Cluster, file: str) -> List[str]:
    """What a dump holds, a line each."""
    return [new.program("pg_restore"), "--list", file]


def _to(database: str) -> str:
    return f"--dbname={'postgres' if database == 'template1' else 'template1'}"


def _transactions(version: int, database: str, jobs: int) -> List[str]:
    if version < 17:
        return []
    alone = jobs <= 1 or database == "template1"
    return [f"--transaction-size={ACTIONS if alone else max(ACTIONS // jobs, FEWEST_ACTIONS)}"]


def server_options(port: int, sockets: str, files: Mapping[str, str]) -> str:
    """What pg_ctl hands to the server on its command line, where it wins over every file: as pg_upgrade starts the new cluster, in binary upgrade
    mode and without haste for the disk. `files`: where it finds what is not beside its data. It writes no log and no lock of the
    cluster's whose configuration it has."""
    settings: Dict[str, str] = {
        "synchronous_commit": "off", "fsync": "off", "full_page_writes": "off", "listen_addresses": "", "unix_socket_permissions": "0700",
        "unix_socket_directories": sockets, "logging_collector": "off", "external_pid_file": f"{sockets}/server.pid", "archive_mode": "off", **files,
    }  # fmt: skip
    given = (f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
    return f"-p {port} -b {' '.join(given)}"


def with_tablespaces_inside(globals_dump: bytes) -> bytes:
    """Every tablespace within the trial's own data folder: in the fleet's folders nothing of it is to be, whatever becomes of the trial
    (allow_in_place_tablespaces, PostgreSQL 15 and the minor releases of August 2022)."""
    return _TABLESPACE.sub(rb"SET allow_in_place_tablespaces = on; \1 LOCATION '';", globals_dump)
