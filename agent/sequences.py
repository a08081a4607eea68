"""Sequences, which logical replication does not carry: read from DB_A, and set on the old primary before it opens again."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Sequence, Tuple

from agent.other_side import OtherSide
from agent.postgres import Postgres

Values = Dict[str, Tuple[int, bool]]
"""Sequence -> last value, and whether it was given out (`last_value`, `is_called`)."""

READ = "SELECT coalesce(json_object_agg(name, json_build_array(last, called)), '{}') FROM pgleap.sequences();"
# For those that no copy tells enough of: what their columns hold. Gaps are harmless, a number given twice is not.
OWNED = """SELECT format('%I.%I', sn.nspname, s.relname) AS sequence, format('%I.%I', tn.nspname, t.relname) AS "table",
  quote_ident(a.attname) AS column
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')"""


def read(target: OtherSide, databases: Sequence[str], jobs: int) -> Dict[str, Values]:
    """DB_A's sequences, by database. Raises Refusal."""

    def one(database: str) -> Values:
        return parsed(target.ask(READ, database))

    return dict(zip(databases, target.server.side_by_side(one, databases, jobs)))


def parsed(text: str) -> Values:
    """What `READ` printed. Pure."""
    return from_json(json.loads(text))


def from_json(found: Mapping[str, Sequence[Any]]) -> Values:
    """Values as JSON has them, in which a pair is a list. Pure."""
    return {name: (int(last), bool(called)) for name, (last, called) in found.items()}


def set_all(postgres: Postgres, values: Mapping[str, Mapping[str, Tuple[int, bool]]], at_once: int) -> int:
    """Set every sequence to its value, where it has another one; how many were set."""

    def one(database: str) -> int:
        rows = ", ".join(
            f"('{_quoted(name)}', {last}::bigint, {called})" for name, (last, called) in values[database].items()
        )
        set_ = (
            "SELECT count(setval(v.name::regclass, v.last, v.called))"
            f" FROM (VALUES {rows}) AS v(name, last, called), LATERAL pgleap.sequence(v.name) AS now"
            " WHERE (now.last, now.called) IS DISTINCT FROM (v.last, v.called);"
        )
        return int(postgres.execute(set_, database, writing=True)) if rows else 0

    return sum(postgres.server.side_by_side(one, list(values), at_once))


def _quoted(name: str) -> str:
    return name.replace("'", "''")
