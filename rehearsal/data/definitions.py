"""How a database's objects are defined, as far as a major upgrade must leave that as it is: what a comparison of contents does not see.

A server prints views, and functions with a body in SQL, as its version words them: of views the columns are compared, of those functions that
they are there. What belongs to an extension is the extension's affair, which is updated after the upgrade.
"""

from __future__ import annotations

from collections.abc import Iterable

from rehearsal.data.compare import unquoted
from rehearsal.data.fill import Psql

Definitions = dict[str, dict[str, str]]
"""database -> object, as `kind name` -> a hash of its definition."""

# `theirs`: schemas and objects that are the user's own. pgleap's schema differs by design once a stream back is made ready.
_THEIRS = """n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgleap') AND n.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid} AND d.deptype = 'e')"""


def _theirs(catalog: str, oid: str) -> str:
    return _THEIRS.format(catalog=catalog, oid=oid)


def _rights(acl: str, kind: str, owner: str) -> str:
    """Who may what beside the owner. From 17 on whoever has all rights has MAINTAIN as well."""
    return f"""(SELECT string_agg(concat_ws('/', g.grantee::regrole, g.privilege_type, g.is_grantable), ','
                ORDER BY g.grantee::regrole::text COLLATE "C", g.privilege_type COLLATE "C")
             FROM aclexplode(coalesce({acl}, acldefault('{kind}', {owner}))) g
             WHERE g.grantee <> {owner} AND g.privilege_type <> 'MAINTAIN')"""


# From 17 on a partition has its parent's identity columns.
_RELATION = "LATERAL format('%I.%I', n.nspname, c.relname) AS name"
QUERY = f"""
SET search_path = pg_catalog; SET quote_all_identifiers = on; SET statement_timeout = 0; SET lock_timeout = '20s'; SET default_transaction_read_only = on;
SELECT md5(coalesce(definition, '')), kind || ' ' || replace(name, E'\\n', ' ') FROM (
    SELECT 'schema' AS kind, format('%I', n.nspname) AS name, concat_ws(' ', pg_get_userbyid(n.nspowner), {_rights("n.nspacl", "n", "n.nspowner")}) AS definition
    FROM pg_namespace n WHERE {_theirs("pg_namespace", "n.oid")}
UNION ALL
    SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
            WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'type' END, name,
        concat_ws(' ', c.relpersistence, pg_get_userbyid(c.relowner), c.relrowsecurity, c.relforcerowsecurity, c.relispartition,
            pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid), (SELECT spcname FROM pg_tablespace t WHERE t.oid = c.reltablespace),
            array_to_string(c.reloptions, ','),
            array_to_string(ARRAY(SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid ORDER BY i.inhseqno), ','),
            {_rights("c.relacl", "r", "c.relowner")},
            (SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, CASE WHEN NOT c.relispartition THEN a.attidentity END, a.attgenerated,
                a.attstorage, a.attcollation::regcollation, {_rights("a.attacl", "c", "c.relowner")}, CASE WHEN c.relkind <> 'v' THEN pg_get_expr(f.adbin, f.adrelid) END), ', '
                ORDER BY a.attnum)
             FROM pg_attribute a LEFT JOIN pg_attrdef f ON (f.adrelid, f.adnum) = (a.attrelid, a.attnum)
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, {_RELATION}
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND {_theirs("pg_class", "c.oid")}
UNION ALL
    SELECT 'index', name, pg_get_indexdef(c.oid) || ' ' || i.indisvalid || i.indisclustered
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace, {_RELATION}
    WHERE {_theirs("pg_class", "i.indrelid")}
UNION ALL
    SELECT 'constraint', format('%I on %s', k.conname, coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text)),
        pg_get_constraintdef(k.oid) || k.convalidated
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    -- From 18 on NOT NULL is a constraint too; it is among the columns above.
    WHERE k.contype <> 'n' AND (k.conrelid <> 0 OR k.contypid <> 0)
        AND {_theirs("pg_class", "k.conrelid")} AND {_theirs("pg_type", "k.contypid")}
UNION ALL
    SELECT 'trigger', format('%I on %s', t.tgname, name), pg_get_triggerdef(t.oid) || t.tgenabled::text
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace, {_RELATION}
    WHERE NOT t.tgisinternal AND {_theirs("pg_class", "c.oid")}
UNION ALL
    SELECT 'function', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
        concat_ws(' ', p.prokind, p.prosrc, l.lanname, pg_get_userbyid(p.proowner), p.provolatile, p.prosecdef, p.proisstrict, p.proparallel,
            array_to_string(p.proconfig, ','), pg_get_function_result(p.oid),
            {_rights("p.proacl", "f", "p.proowner")})
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE {_theirs("pg_proc", "p.oid")}
UNION ALL
    SELECT 'type', format('%I.%I', n.nspname, t.typname), concat_ws(' ', t.typtype, pg_get_userbyid(t.typowner), t.typnotnull, t.typdefault,
        CASE WHEN t.typbasetype <> 0 THEN format_type(t.typbasetype, t.typtypmod) END,
        (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r') AND {_theirs("pg_type", "t.oid")}
UNION ALL
    SELECT 'policy', format('%I on %s', y.polname, name), concat_ws(' ', y.polcmd, y.polpermissive, y.polroles::regrole[]::text,
        pg_get_expr(y.polqual, y.polrelid), pg_get_expr(y.polwithcheck, y.polrelid))
    FROM pg_policy y JOIN pg_class c ON c.oid = y.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace, {_RELATION}
UNION ALL
    SELECT 'statistics', format('%I.%I', n.nspname, s.stxname), pg_get_statisticsobjdef(s.oid)
    FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
UNION ALL
    SELECT 'extension', e.extname, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
) objects ORDER BY 2;
"""
"""The psql script that prints one database's definitions, a line `hash|kind name` for each object."""


def definitions(psql: Psql, databases: Iterable[str]) -> Definitions:
    """Read the definitions in these databases. Nothing is written."""
    return {name: parse(psql(name, QUERY)) for name in databases}


def parse(printed: str) -> dict[str, str]:
    """One database's objects, from what `QUERY` printed. Raises ValueError for a line that it cannot read."""
    found = {}
    for line in filter(None, printed.split("\n")):
        hashed, separator, what = line.partition("|")
        if not separator:
            raise ValueError(f"expected a hash and an object, found: {line}")
        found[unquoted(what)] = hashed
    return found


def changed(before: Definitions, after: Definitions) -> list[str]:
    """What is only there before, only after, or is defined otherwise: a sentence each. Pure."""
    found = []
    for database in sorted(before.keys() | after.keys()):
        old, new = before.get(database, {}), after.get(database, {})
        found += [
            f"{database}: {what} is only there {'before' if what in old else 'after'}"
            for what in sorted(old.keys() ^ new.keys())
        ]
        found += [
            f"{database}: {what} is defined otherwise"
            for what in sorted(old.keys() & new.keys())
            if old[what] != new[what]
        ]
    return found
