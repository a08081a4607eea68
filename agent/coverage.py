"""Which tables the reverse stream can carry, and by which replica identity. Read only; asked of either side, in any database.

A published table without a replica identity makes its UPDATE and DELETE fail, so a table gets one or stays out, never neither
(PostgreSQL documentation, "Logical Replication: Publication").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Protocol, Sequence

from agent.qualified import Qualified, named_by

DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY oid"

# Types that REPLICA IDENTITY FULL cannot compare: those without a default btree or hash operator class, their own or that of a
# type they are implicitly binary coercible to (parse_coerce.c, IsBinaryCoercible; execReplication.c, tuples_equal).
_COMPARED = """EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
    WHERE m.amname IN ('btree', 'hash') AND o.opcdefault AND (o.opcintype = t.oid OR EXISTS (
      SELECT FROM pg_cast k WHERE k.castsource = t.oid AND k.casttarget = o.opcintype AND k.castmethod = 'b'
        AND k.castcontext = 'i')))"""

# Columns whose values can be equal and not the same, such as numeric 1.0 and 1.00: without a key the subscriber takes the first row that is
# equal. B-tree operator classes say of which types that cannot be (documentation, "B-Tree Support Functions", equalimage); intervals were
# said to be so by mistake (commit 3ef038fc4f), and what pads a char without a length is not compared.
_SAME_IF_EQUAL = """EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod JOIN pg_amproc e ON e.amprocfamily = o.opcfamily
      AND e.amproclefttype = o.opcintype AND e.amprocrighttype = o.opcintype AND e.amprocnum = 4
    WHERE m.amname = 'btree' AND o.opcdefault AND (o.opcintype = t.oid OR o.opcintype = 'anyenum'::regtype AND t.typtype = 'e'
      OR EXISTS (SELECT FROM pg_cast k WHERE k.castsource = t.oid AND k.casttarget = o.opcintype AND k.castmethod = 'b'
        AND k.castcontext = 'i') AND NOT EXISTS (SELECT FROM pg_opclass w JOIN pg_am m ON m.oid = w.opcmethod
        WHERE m.amname = 'btree' AND w.opcdefault AND w.opcintype = t.oid))) AND t.oid <> 'interval'::regtype AND NOT (t.oid = 'bpchar'::regtype AND p.typmod = -1)
    OR t.oid = 'numeric'::regtype AND p.typmod <> -1"""

# Ordinary tables and leaf partitions: those that hold rows which are written to the WAL. `keyed`: the subscriber finds a row by the index
# of its replica identity, or else by its primary key, whatever the identity is (execReplication.c, GetRelationIdentityOrPK); `by_identity`:
# by the former. `key_generated`: a column of that key is generated, which the publisher does not send.
QUERY = f"""
WITH RECURSIVE here AS (
  SELECT c.oid, n.nspname AS schema, c.relname AS table, format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS identity,
    k.indexrelid IS NOT NULL AS keyed, coalesce(k.by_identity, false) AS by_identity,
    EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> ''
      AND a.attnum = ANY ((k.indkey::int2[])[0:k.indnkeyatts - 1])) AS key_generated,
    EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped) AS generated,
    EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS owned,
    c.relpersistence = 'u' AS unlogged
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN LATERAL (
    SELECT i.indexrelid, i.indkey, i.indnkeyatts, c.relreplident = 'i' AND i.indisreplident AS by_identity FROM pg_index i
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate AND (i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
    ORDER BY 4 DESC LIMIT 1
  ) k ON true
  WHERE c.relkind = 'r' AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgleap') AND n.nspname !~ '^pg_toast'
), part(relid, typ, typmod, collation_) AS (
  SELECT h.oid, a.atttypid, a.atttypmod, a.attcollation FROM here h JOIN pg_attribute a ON a.attrelid = h.oid
  WHERE NOT h.keyed AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  UNION
  SELECT p.relid, inner_type.typ, inner_type.typmod, inner_type.collation_
  FROM part p JOIN pg_type t ON t.oid = p.typ CROSS JOIN LATERAL (
    SELECT t.typbasetype, t.typtypmod, p.collation_ WHERE t.typtype = 'd'
    UNION ALL SELECT t.typelem, p.typmod, p.collation_ WHERE t.typcategory = 'A' AND t.typelem <> 0
    UNION ALL SELECT r.rngsubtype, -1, r.rngcollation FROM pg_range r WHERE r.rngtypid = t.oid
    UNION ALL SELECT r.rngtypid, -1, 0 FROM pg_range r WHERE t.typtype = 'm' AND r.rngmultitypid = t.oid
    UNION ALL SELECT f.atttypid, f.atttypmod, f.attcollation FROM pg_attribute f
      WHERE t.typtype = 'c' AND f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped
  ) inner_type(typ, typmod, collation_)
), basic AS (
  SELECT p.relid, CASE WHEN o.collname IS NULL THEN format_type(p.typ, NULL)
      ELSE format('%s COLLATE %I', format_type(p.typ, NULL), o.collname) END AS type,
    t.typtype = 'b' AND NOT ({_COMPARED}) AS blind, o.collname IS NOT NULL OR NOT ({_SAME_IF_EQUAL}) AS loose
  FROM part p JOIN pg_type t ON t.oid = p.typ LEFT JOIN pg_collation o ON o.oid = p.collation_ AND NOT o.collisdeterministic
  WHERE t.typtype IN ('b', 'e') AND t.typcategory <> 'A'
), summed AS (
  SELECT relid, string_agg(DISTINCT type, ', ') FILTER (WHERE blind) AS blind, string_agg(DISTINCT type, ', ') FILTER (WHERE loose) AS loose
  FROM basic GROUP BY 1
)
SELECT h.schema, h.table, h.name, h.identity, h.keyed, h.by_identity, h.key_generated, h.generated, h.owned, h.unlogged, s.blind, s.loose
FROM here h LEFT JOIN summed s ON s.relid = h.oid ORDER BY h.oid
"""
# Of an unlogged table of theirs, which is told itself, they are no news. There are none before 15.
UNLOGGED_SEQUENCES = """SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence = 'u' AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid
  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    AND t.relkind = 'r' AND t.relpersistence = 'u') ORDER BY 1"""
LARGE_OBJECTS = 'SELECT EXISTS (SELECT FROM pg_largeobject_metadata) AS "any"'
# From this version on a publisher refuses UPDATE and DELETE where the identity is FULL and a column generated (pg_publication.c,
# pub_contains_invalid_column): it would have to send what a subscriber of before cannot take.
NO_GENERATED_IN_FULL = 18


UNLOGGED = "it is unlogged"
OWNED = "it belongs to an extension"
LEFT_OUT = "the stack leaves it out"


class Asked(Protocol):
    """Whoever answers a query: Postgres, or what a check of preflight sees of it."""

    def rows(self, query: str, database: str = "postgres") -> List[Dict[str, Any]]: ...


@dataclass(frozen=True)
class Table:
    """One table: `name` is qualified and quoted as SQL wants it, `schema` and `table` as they are; `identity` its replica identity as in
    pg_class.

    `sets` is the identity that it needs on DB_A to be published, "" if the one it has serves. `why_not` says why the stream does not carry
    it, "" if it does. `loose` names the types of a table without a key whose values can be equal and not the same, "" if there are none.
    """

    name: str
    identity: str
    sets: str
    why_not: str
    schema: str = ""
    table: str = ""
    has_key: bool = True
    loose: str = ""

    @property
    def is_covered(self) -> bool:
        return not self.why_not


def databases(postgres: Asked) -> List[str]:
    """Those whose tables are carried: each that lets somebody connect and is no template."""
    return [row["datname"] for row in postgres.rows(DATABASES)]


def tables(postgres: Asked, database: str, left_out: Iterable[str], publisher: int) -> List[Table]:
    """Every table of a database. `left_out` names tables of the stack's own choice, `database.schema.table`, quoted as one likes; `publisher` is
    DB_A's major version."""
    return tables_in(postgres.rows(QUERY, database), database, left_out, publisher)


def names(postgres: Asked, database: str) -> List[Qualified]:
    """The names of all tables of a database that could be carried."""
    return [Qualified(row["schema"], row["table"]) for row in postgres.rows(QUERY, database)]


def tables_in(rows: Iterable[Mapping[str, Any]], database: str, left_out: Iterable[str], publisher: int) -> List[Table]:
    """The same, of what QUERY found in the database. Pure."""
    there = {Qualified(row["schema"], row["table"]): row for row in rows}
    out = {table for tables in named_by(left_out, database, there).values() for table in tables}
    found = []
    for name, row in there.items():
        sets = _identity_to_set(row, publisher)
        full = (sets or row["identity"]) == "f"
        if name in out:
            why_not = LEFT_OUT
        elif row["unlogged"]:
            why_not = UNLOGGED
        elif row["owned"]:
            why_not = OWNED
        elif row["key_generated"]:
            why_not = "its key holds a generated column, which the stream does not send"
        elif row["blind"] and not row["keyed"]:
            why_not = f"it has no key, and {row['blind']} cannot be compared"
        elif full and row["generated"] and publisher >= NO_GENERATED_IN_FULL:
            why_not = f"it has no key, and a generated column: {publisher} would refuse to update it"
        else:
            why_not = ""
        found.append(
            Table(
                row["name"],
                row["identity"],
                sets,
                why_not,
                row["schema"],
                row["table"],
                row["keyed"],
                loose=(row["loose"] or "") if not why_not and not row["keyed"] else "",
            )
        )
    return found


def _identity_to_set(row: Mapping[str, Any], publisher: int) -> str:
    """The identity with which a publisher sends what the subscriber finds the row by; "" if it has that one. Pure."""
    identity = row["identity"]
    if not row["keyed"]:
        return "" if identity == "f" else "f"
    if identity == "n" or (identity == "i" and not row["by_identity"]):
        return "d"  # it finds the row by the primary key, and this one sends none
    return "d" if identity == "f" and row["generated"] and publisher >= NO_GENERATED_IN_FULL else ""


def not_covered(database: str, found: Sequence[Table]) -> List[str]:
    """Sentences for people: what a way back after cutover would not bring along."""
    return [f"{database}: {table.name} ({table.why_not})" for table in found if not table.is_covered]
