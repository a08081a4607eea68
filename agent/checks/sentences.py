"""What a check tells, kept short, and which databases it is asked in."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Sequence

from agent.checks.sight import Sight

MOST = 20
# As pg_upgrade goes through them: the templates too, but for template0, which lets nobody in. A CREATE DATABASE waits up to 5 s
# for a session in template1 to end, which those of a look do long before.
CONNECTABLE = "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY oid"


def most(sentences: Sequence[str]) -> List[str]:
    """The first twenty, and how many more there are."""
    more = len(sentences) - MOST
    return [*sentences[:MOST], f"and {more} more"] if more > 0 else list(sentences)


def in_each(sight: Sight, query: str) -> List[Dict[str, Any]]:
    """The rows of every database that pg_upgrade carries over, template1 among them, each with its `database`."""
    names = [row["datname"] for row in sight.rows(CONNECTABLE)]
    return [{"database": name, **row} for name in names for row in sight.rows(query, name)]


def by_database(rows: Iterable[Dict[str, Any]], key: str) -> Dict[str, List[str]]:
    """In which databases each value of `key` is found."""
    found: Dict[str, List[str]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row["database"])
    return found


def listed(names: Sequence[str], at_most: int = 5) -> str:
    """Names in a sentence."""
    return ", ".join(names[:at_most]) + (f" and {len(names) - at_most} more" if len(names) > at_most else "")


def size(amount: float) -> str:
    """Bytes for people."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.0f} {units[0]}" if amount >= 10 or units[0] == "bytes" else f"{amount:.1f} {units[0]}"
