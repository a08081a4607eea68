"""Names of tables and sequences as values: compared as such, never as text that one version quotes and another one does not.

From 16 on `format('%I')` quotes words that 15 leaves alone (`json`, `system_user`: kwlist.h), so the text of one name differs between two sides.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Set

# In one statement every table and index that is read stays locked, in a table that has room for max_locks_per_transaction x
# max_connections, for everybody.
AT_ONCE = 200


class Qualified(NamedTuple):
    """A table or a sequence: its schema, and its name in it, as the catalog has them."""

    schema: str
    name: str

    def __str__(self) -> str:
        """As people write it: quoted where they would have to, whatever a version reserves."""
        return ".".join(part if re.fullmatch("[a-z_][a-z0-9_$]*", part) else quoted(part) for part in self)

    @property
    def sql(self) -> str:
        """As any version of SQL takes it."""
        return ".".join(quoted(part) for part in self)


def quoted(part: str) -> str:
    """An identifier as any version of SQL takes it. Pure."""
    return '"' + part.replace('"', '""') + '"'


def connection_string(database: str) -> str:
    """A database's name for what takes a connection string, where a bare `a=b` would be one already (libpq, "Connection Strings"). Pure."""
    return "dbname='" + database.replace("\\", "\\\\").replace("'", "\\'") + "'"


def literal(text: str) -> str:
    """A text as SQL wants it (each session of ours has standard_conforming_strings on). Pure."""
    return "'" + text.replace("'", "''") + "'"


def in_parts(query: str, asks: Callable[[str], str]) -> str:
    """A script for psql that asks for what `query` finds, rows of schema and name: first how many there are, then AT_ONCE of them in each
    statement, which `asks` makes of SQL for a JSON list of their names. `answers` reads what it prints. Pure."""
    marked = asks("<names>").replace("%", "%%").replace("<names>", "%1$L::json")
    return (
        f"SELECT json_build_object('asked', count(*)) FROM ({query}) q;\n"
        f"SELECT format({literal(marked)}, json_agg(json_build_array(p.schema, p.name)))"
        f" FROM (SELECT q.schema, q.name, (row_number() OVER () - 1) / {AT_ONCE} AS part FROM ({query}) q) p GROUP BY p.part \\gexec\n"
    )


class Answer(NamedTuple):
    """Of one script of `in_parts`: how many were asked for, and what came for each."""

    asked: int
    found: List[Any]


def answers(text: str) -> List[Answer]:
    """What scripts of `in_parts`, one after another, printed. Pure."""
    found: List[Answer] = []
    for value in values_in(text):
        if isinstance(value, dict):
            found.append(Answer(value["asked"], []))
        else:
            found[-1].found.extend(value)
    return found


def values_in(text: str) -> Iterator[Any]:
    """The JSON values in a text, one after another. Pure."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        yield value
        rest = rest[end:].lstrip()


def named_by(entries: Iterable[str], database: str, there: Iterable[Qualified]) -> Dict[str, Set[Qualified]]:
    """Which of a database's tables each `database.schema.table` names, however it is quoted; an unquoted part stands for itself or, as in
    SQL, for its small letters, if there is none of the first. Pure."""
    by_text: Dict[str, Set[Qualified]] = {}
    for table in there:
        for text in _texts([database, *table]):
            by_text.setdefault(text, set()).add(table)
    return {entry: by_text.get(entry) or by_text.get(_folded(entry)) or set() for entry in entries}


def _texts(parts: List[str]) -> List[str]:
    """All ways to write it, each part quoted or not. Pure."""
    first, *rest = parts
    forms = [first, quoted(first)]
    return forms if not rest else [f"{form}.{text}" for form in forms for text in _texts(rest)]


def _folded(entry: str) -> str:
    return re.sub(r'("(?:[^"]|"")*")|([^"]+)', lambda found: found[1] or found[2].lower(), entry)
