"""Which tables the reverse stream can carry, and by which replica identity. Read only; asked of either side, in any database.

A published table without a replica identity makes its UPDATE and DELETE fail, so a table gets one or stays out, never neither
(PostgreSQL documentation, "Logical Replication: Publication").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Protocol, Sequence

DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY oid"

# Types that REPLICA IDENTITY FULL cannot compare: those without a default btree or hash operator class, their own or that of a
# type they are implicitly binary coercible to (parse_coerce.c, IsBinaryCoercible; execReplication.c, tuples_equal).
_COMPARED = """EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
    WHERE m.amname IN ('btree', 'hash') AND o.opcdefault AND (o.opcintype = t.oid OR EXISTS (
      SELECT FROM pg_cast k WHERE k.castsource = t.oid AND k.casttarget = o.opcintype AND k.castmethod = 'b'
        AND k.castcontext = 'i')))"""

# Ordinary tables and leaf partitions: those that hold rows which are written to the WAL.
QUERY = f"""
WITH RECURSIVE here AS (
  SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS identity,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND CASE c.relreplident
      WHEN 'd' THEN i.indisprimary AND i.indimmediate WHEN 'i' THEN i.indisreplident ELSE false END) AS keyed,
    EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS owned,
    c.relpersistence = 'u' AS unlogged
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgleap') AND n.nspname !~ '^pg_toast'
), part(relid, typ) AS (
  SELECT h.oid, a.atttypid FROM here h JOIN pg_attribute a ON a.attrelid = h.oid
  WHERE NOT h.keyed AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  UNION
  SELECT p.relid, inner_type.typ FROM part p JOIN pg_type t ON t.oid = p.typ CROSS JOIN LATERAL (
    SELECT t.typbasetype WHERE t.typtype = 'd'
    UNION ALL SELECT t.typelem WHERE t.typcategory = 'A' AND t.typelem <> 0
    UNION ALL SELECT f.atttypid FROM pg_attribute f
      WHERE t.typtype = 'c' AND f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped
  ) inner_type(typ)
), blind AS (
  SELECT p.relid, string_agg(DISTINCT format_type(p.typ, NULL), ', ') AS types
  FROM part p JOIN pg_type t ON t.oid = p.typ
  WHERE t.typtype = 'b' AND t.typcategory <> 'A' AND NOT {_COMPARED} GROUP BY 1
)
SELECT h.name, h.identity, h.keyed, h.owned, h.unlogged, b.types AS blind
FROM here h LEFT JOIN blind b ON b.relid = h.oid ORDER BY h.oid
"""


UNLOGGED = "it is unlogged"


class Asked(Protocol):
    """Whoever answers a query: Postgres, or what a check of preflight sees of it."""

    def rows(self, query: str, database: str = "postgres") -> List[Dict[str, Any]]: ...


@dataclass(frozen=True)
class Table:
    """One table: `name` is qualified and quoted as SQL wants it, `identity` its replica identity as in pg_class.

    `needs_full`: only REPLICA IDENTITY FULL can serve it, and it does not have it. `why_not` says why the stream does not carry
    it, "" if it does.
    """

    name: str
    identity: str
    needs_full: bool
    why_not: str

    @property
    def is_covered(self) -> bool:
        return not self.why_not


def databases(postgres: Asked) -> List[str]:
    """Those whose tables are carried: each that lets somebody connect and is no template."""
    return [row["datname"] for row in postgres.rows(DATABASES)]


def tables(postgres: Asked, database: str, left_out: Iterable[str]) -> List[Table]:
    """Every table of a database. `left_out` names tables of the stack's own choice, `database.schema.table`."""
    return tables_in(postgres.rows(QUERY, database), database, left_out)


def tables_in(rows: Iterable[Mapping[str, Any]], database: str, left_out: Iterable[str]) -> List[Table]:
    """The same, of what QUERY found in the database."""
    out = set(left_out)
    found = []
    for row in rows:
        full = row["identity"] == "f"
        if f"{database}.{row['name']}" in out:
            why_not = "the stack leaves it out"
        elif row["unlogged"]:
            why_not = UNLOGGED
        elif row["owned"]:
            why_not = "it belongs to an extension"
        elif row["blind"] and not row["keyed"]:
            why_not = f"it has no key, and {row['blind']} cannot be compared"
        else:
            why_not = ""
        found.append(Table(row["name"], row["identity"], needs_full=not row["keyed"] and not full, why_not=why_not))
    return found


def not_covered(database: str, found: Sequence[Table]) -> List[str]:
    """Sentences for people: what a way back after cutover would not bring along."""
    return [f"{database}: {table.name} ({table.why_not})" for table in found if not table.is_covered]
