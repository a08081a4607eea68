"""Sequences of an old primary that opens without a DB_A which took writes and does not answer: set past what is known to have been given out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional

from agent import sequences
from agent.postgres import Postgres
from agent.qualified import Qualified, literal, quoted, values_in
from agent.sequences import Done, Value, Values

# PostgreSQL logs a sequence up to 32 values ahead; between two copies clients may have taken many more.
SPARE_VALUES = 10_000

_HERE = """SELECT n.nspname AS schema, c.relname AS name, s.seqincrement AS increment, s.seqmin AS minimum, s.seqmax AS maximum,
  s.seqcycle AS cycles
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't'"""
# The columns of whole numbers that a sequence fills: those that own it, and those whose default names it.
_FILLED = """SELECT sn.nspname AS schema, s.relname AS name, tn.nspname AS tables_schema, t.relname AS table, a.attname AS column
FROM (
  SELECT objid, refobjid, refobjsubid FROM pg_depend WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
    AND deptype IN ('a', 'i')
  UNION SELECT d.refobjid, f.adrelid, f.adnum FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
    WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
) d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p') JOIN pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) AND s.relpersistence <> 't'"""


@dataclass(frozen=True)
class Bounds:
    """How a sequence goes on: by `increment`, which may be negative, between `minimum` and `maximum`, and from the start again if it `cycles`."""

    increment: int
    minimum: int
    maximum: int
    cycles: bool

    def further(self, one: int, other: int) -> int:
        """Whichever of two values is given out later."""
        return max(one, other) if self.increment > 0 else min(one, other)

    def within(self, value: int) -> int:
        return min(self.maximum, max(self.minimum, value))

    def left(self, value: int) -> int:
        """How many values there are after this one."""
        return max(0, self.maximum - value if self.increment > 0 else value - self.minimum) // abs(self.increment)

    def past(self, value: int) -> int:
        """As far past a value as is spared: never more than half of what is left, or the next to come would find none."""
        return value + min(SPARE_VALUES, self.left(value) // 2) * self.increment

    def half_way(self, value: int) -> int:
        return value + self.left(value) // 2 * self.increment


def set_past(postgres: Postgres, database: str, copied: Values) -> Done:
    """Set every sequence of a database past its copy, its value here and the columns that it fills."""
    bounds = {
        Qualified(row["schema"], row["name"]): Bounds(row["increment"], row["minimum"], row["maximum"], row["cycles"])
        for row in postgres.rows(_HERE, database)
    }
    here = sequences.parsed(postgres.execute(sequences.READ, database))
    known = {name: start(one, here.get(name), copied.get(name)) for name, one in bounds.items()}
    begun = {name: value for name, value in known.items() if value is not None}
    reached = _columns(postgres, database, bounds, begun)
    wanted = {name: Value(past(bounds[name], value, reached.get(name)), called=True) for name, value in begun.items()}
    return sequences.set_in(postgres, database, wanted)


def start(bounds: Bounds, here: Optional[Value], copied: Optional[Value]) -> Optional[int]:
    """The last value that is known to have been given out, or to be the first; None if nothing is known. Pure."""
    known = [bounds.within(one.last) for one in (here, copied) if one is not None]
    if not known:
        return None
    # One that cycles has no later and earlier: the copy is the younger.
    return known[-1] if bounds.cycles else bounds.further(known[0], known[-1])


def past(bounds: Bounds, value: int, column: Optional[int]) -> int:
    """Past a value, and past what a column holds. Pure."""
    spared = bounds.past(value)
    return spared if column is None or bounds.cycles else bounds.further(spared, column)


def _columns(
    postgres: Postgres, database: str, bounds: Dict[Qualified, Bounds], begun: Dict[Qualified, int]
) -> Dict[Qualified, int]:
    """The last value in the columns that each sequence fills, of those up to half of what is left to it: a row beyond was not numbered by it."""
    statements = []
    for row in postgres.rows(_FILLED, database):
        name = Qualified(row["schema"], row["name"])
        if name not in begun or bounds[name].cycles:
            continue
        rises = bounds[name].increment > 0
        column = quoted(row["column"])
        table = Qualified(row["tables_schema"], row["table"]).sql
        statements.append(
            f"SELECT json_build_array({literal(name.schema)}, {literal(name.name)}, {'max' if rises else 'min'}({column})) FROM {table}"
            f" WHERE {column} {'<=' if rises else '>='} {bounds[name].half_way(begun[name])};"
        )
    found: Dict[Qualified, int] = {}
    # Each in a transaction of its own: none keeps its tables locked.
    for schema, of, value in values_in(postgres.execute("\n".join(statements), database)) if statements else ():
        name = Qualified(schema, of)
        if value is not None:
            found[name] = bounds[name].further(found.get(name, value), value)
    return found
