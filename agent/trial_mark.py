"""What a schema trial's verdict rests on, in short: the catalog of the old version, and what of DB_A takes part in restoring it.

As long as both are what they were, so is the verdict; `ready` then need not try again.
"""

from __future__ import annotations

import hashlib
import os
from typing import List, NamedTuple

from agent import catalog
from agent.cluster import Cluster
from agent.postgres import Postgres
from agent.server import Server

DATABASES = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY oid"
# Locales of libc, as Debian and RPM distributions have them.
LOCALES = "/usr/lib/locale"


class Mark(NamedTuple):
    """`text` is the same if nothing changed; `relations` are the users' own, in all of `databases`."""

    text: str
    relations: int
    databases: List[str]


def take(asked: Postgres, server: Server, new: Cluster, jobs: int) -> Mark:
    """Of the running standby of the old version, asked as the agent does (how a catalog's rows are written depends on the session's settings), and
    of this server. Raises Refusal with PostgreSQL's message."""
    columns = asked.rows(catalog.COLUMNS)
    databases = [str(row["datname"]) for row in asked.rows(DATABASES)]
    shared = asked.rows(catalog.whole(columns, shared=True))[0]
    inside = catalog.whole(columns, shared=False)
    found = server.side_by_side(lambda name: asked.rows(inside, name)[0], databases, jobs)
    parts = [shared["whole_digest"], *(f"{name}={row['whole_digest']}" for name, row in zip(databases, found))]
    text = hashlib.sha256("\n".join([*parts, *surroundings(server, new)]).encode()).hexdigest()
    return Mark(text, sum(int(row["relations"]) for row in found), databases)


def surroundings(server: Server, new: Cluster) -> List[str]:
    """The new version's programs, libraries, extensions and dictionaries, its configuration, and the locales: each file's name, size and
    time. What changes there can mend a restore, or break it."""
    home = new.bin.rsplit("/", 1)[0]
    shares = [f"/usr/share/postgresql/{new.version}", f"{home}/share"]
    folders = [
        new.bin,
        f"{home}/lib",
        LOCALES,
        *(f"{share}/{part}" for share in shares for part in ("extension", "tsearch_data")),
    ]
    found = [line for folder in folders for line in _files(server, folder)]
    for file in (new.config_file, new.own_config_file, new.auto_config_file):
        path = server.path(file)
        found.append(f"{file} {hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else 'none'}")
    return found


def _files(server: Server, folder: str) -> List[str]:
    path = server.path(folder)
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        states = [(entry.name, entry.stat()) for entry in entries if entry.is_file() or entry.is_dir()]
    return sorted(f"{folder}/{name} {state.st_size} {state.st_mtime_ns}" for name, state in states)
