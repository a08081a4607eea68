"""Fingerprints of everything a server holds, and what differs between two of them.

A fingerprint needs nothing but local psql as a superuser, so it can be taken of a sealed database, a standby, or either
side of a major upgrade: it reads values in their text form under settings of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rehearsal.data.fill import Psql


@dataclass(frozen=True)
class Digest:
    """Rows without their order: how many, and two independent sums over hashes of each row's text."""

    rows: int
    hashes: int
    md5s: int


@dataclass(frozen=True)
class Sequence:
    """`last` is the last value given out, None if there was none yet; `step` is its increment."""

    last: int | None
    step: int


@dataclass(frozen=True)
class Content:
    """What one database holds; the keys are names with their schema, quoted where any version of SQL wants them.

    `tables` holds ordinary tables and leaf partitions, `unlogged` those that a replica or an unclean stop leaves empty.
    """

    tables: dict[str, Digest] = field(default_factory=dict)
    unlogged: dict[str, Digest] = field(default_factory=dict)
    materialized: dict[str, Digest] = field(default_factory=dict)
    large_objects: dict[str, Digest] = field(default_factory=dict)
    sequences: dict[str, Sequence] = field(default_factory=dict)


Fingerprint = dict[str, Content]
"""One entry for each database that accepts connections, the templates left out."""

# Every name is quoted: left to itself, a version quotes the words that it reserves (`json` from 16 on), and one name would be two.
_SETTINGS = """
SET search_path = pg_catalog; SET quote_all_identifiers = on; SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres';
SET bytea_output = 'hex'; SET extra_float_digits = 1; SET statement_timeout = 0; SET lock_timeout = '20s';
SET default_transaction_read_only = on;
"""
# Half of an md5 as a number: sums of them do not depend on the rows' order, and hashtextextended is one hash alone.
_SUMS = """count(*), coalesce(sum(hashtextextended({0}, 0)::numeric), 0),
    coalesce(sum(('x' || left(md5({0}), 16))::bit(64)::bigint::numeric), 0)"""
# On a standby an unlogged table cannot be read, and is empty once the standby is promoted.
_RELATIONS = """
SELECT CASE WHEN relpersistence = 'u' AND pg_is_in_recovery() THEN format($$SELECT 'unlogged', %L, 0, 0, 0$$, line)
    ELSE format($$SELECT %L, %L, {sums} FROM ONLY %s AS pgleap_row$$,
        CASE WHEN relkind = 'm' THEN 'materialized' WHEN relpersistence = 'u' THEN 'unlogged' ELSE 'tables' END, line, name)
    END
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, LATERAL format('%I.%I', nspname, relname) name,
    LATERAL replace(replace(name, E'\\n', '\\n'), E'\\r', '\\r') line
WHERE relkind IN ('r', 'm') AND relispopulated AND relpersistence <> 't'
    AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\\_toast%'
ORDER BY c.oid \\gexec
"""
_LARGE_OBJECTS = """
SELECT 'large_objects', oid, {sums} FROM (SELECT oid, encode(lo_get(oid), 'hex') AS content FROM pg_largeobject_metadata) o
GROUP BY oid;
"""
_SEQUENCES = """
SELECT 'sequences', replace(replace(format('%I.%I', schemaname, sequencename), E'\\n', '\\n'), E'\\r', '\\r'), last_value, increment_by FROM pg_sequences;
"""
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1;"
QUERY = (
    _SETTINGS
    + _RELATIONS.format(sums=_SUMS.format("(pgleap_row.*)::text"))
    + _LARGE_OBJECTS.format(sums=_SUMS.format("content"))
    + _SEQUENCES
)
"""The psql script that prints one database's fingerprint, a line for each thing it holds."""


def fingerprint(psql: Psql) -> Fingerprint:
    """Read everything: tables, populated materialized views, large objects and sequences of every database.

    `psql` runs as a superuser (see `rehearsal.data.fill.Psql`). Nothing is written. The parts are read one after
    another: two fingerprints of a server that clients write to differ.
    """
    return {name: parse(psql(name, QUERY)) for name in psql("postgres", _DATABASES).split("\n") if name}


def parse(printed: str) -> Content:
    """One database's content, from what `QUERY` printed. Raises ValueError for a line it cannot read."""
    content = Content()
    digests = {part: getattr(content, part) for part in ("tables", "unlogged", "materialized", "large_objects")}
    for line in filter(None, printed.split("\n")):
        part, _, rest = line.partition("|")
        if part == "sequences":
            name, last, step = rest.rsplit("|", 2)
            content.sequences[unquoted(name)] = Sequence(int(last) if last else None, int(step))
        elif part in digests:
            name, *numbers = rest.rsplit("|", 3)
            digests[part][unquoted(name)] = Digest(*map(int, numbers))
        else:
            raise ValueError(f"expected a part of a fingerprint, found: {line}")
    return content


def unquoted(name: str) -> str:
    """A name of which every part is quoted, as people write it: in quotes only what no version of SQL takes without. Pure."""
    return re.sub(r'(?<!")"([a-z_][a-z0-9_$]*)"(?!")', r"\1", name)


def differences(before: Fingerprint, after: Fingerprint) -> list[str]:
    """What `after` lacks, has besides, or holds otherwise: a sentence each, none if the contents are equal.

    Sequences may have gone on (a promoted standby stands up to 32 values ahead), never back. Unlogged tables may have
    been emptied; they must exist.
    """
    found: list[str] = []
    for database in sorted(before.keys() | after.keys()):
        if database not in after or database not in before:
            found.append(f"{database}: the database is only there {'before' if database in before else 'after'}")
            continue
        old, new = before[database], after[database]
        found += _digests(f"{database}: table", old.tables, new.tables)
        found += _digests(f"{database}: materialized view", old.materialized, new.materialized)
        found += _digests(f"{database}: large object", old.large_objects, new.large_objects)
        found += _digests(f"{database}: unlogged table", old.unlogged, new.unlogged, may_be_empty=True)
        found += _sequences(database, old.sequences, new.sequences)
    return found


def emptied(before: Fingerprint, after: Fingerprint) -> list[str]:
    """The unlogged tables that held rows before and hold none after, as <database>: <table>. No fault: said apart."""
    return [
        f"{database}: {name}"
        for database, content in sorted(before.items())
        for name, digest in sorted(content.unlogged.items())
        if digest.rows and database in after and _rows(after[database].unlogged, name) == 0
    ]


def _rows(digests: Mapping[str, Digest], name: str) -> int | None:
    return digests[name].rows if name in digests else None


def _only(what: str, old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return [
        f"{what} {name} is only there {'before' if name in old else 'after'}"
        for name in sorted(old.keys() ^ new.keys())
    ]


def _digests(
    what: str, old: Mapping[str, Digest], new: Mapping[str, Digest], *, may_be_empty: bool = False
) -> list[str]:
    changed = [
        f"{what} {name} differs: {old[name].rows} rows before, {new[name].rows} after"
        for name in sorted(old.keys() & new.keys())
        if old[name] != new[name] and not (may_be_empty and new[name].rows == 0)
    ]
    return _only(what, old, new) + changed


def _sequences(database: str, old: Mapping[str, Sequence], new: Mapping[str, Sequence]) -> list[str]:
    changed = [
        f"{database}: sequence {name} went back: {old[name].last} before, {new[name].last} after"
        for name in sorted(old.keys() & new.keys())
        if _went_back(old[name], new[name])
    ]
    return _only(f"{database}: sequence", old, new) + changed


def _went_back(old: Sequence, new: Sequence) -> bool:
    if old.last is None:
        return False
    return new.last is None or (new.last - old.last) * old.step < 0
