"""The same question in each database."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List

from agent.amounts import DATABASES
from agent.checks.sight import Sight


def in_each(sight: Sight, query: str) -> List[Dict[str, Any]]:
    """The rows of every database that pg_upgrade carries over, template1 among them, each with its `database`."""
    # template0 lets nobody in. A CREATE DATABASE waits up to 5 s for a session in template1 to end, which those of a look do long before.
    names = [row["datname"] for row in sight.rows(DATABASES)]
    return [{"database": name, **row} for name in names for row in sight.rows(query, name)]


def by_database(rows: Iterable[Dict[str, Any]], key: str) -> Dict[str, List[str]]:
    """In which databases each value of `key` is found."""
    found: Dict[str, List[str]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row["database"])
    return found
