"""What pg_upgrade refuses in a database, or stumbles over: looked for on the old primary, before a `pg_upgrade --check` can run.

The queries follow pg_upgrade's check.c; what only versions before 13 could hold is left out, for pgleap takes none of those.
"""

from __future__ import annotations

from typing import List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.each_database import in_each
from agent.checks.removed_columns import removed_columns
from agent.checks.sight import Sight
from agent.checks.wording import few

# Their values name rows of the system catalogues by an oid that the new cluster does not keep (it keeps those of pg_class, pg_type,
# pg_authid and pg_enum). Row types of the system's own tables and views have such an oid too.
REG_TYPES = """t.typnamespace = 'pg_catalog'::regnamespace AND t.typname IN ('regcollation', 'regconfig', 'regdictionary',
  'regnamespace', 'regoper', 'regoperator', 'regproc', 'regprocedure')
  OR t.typtype = 'c' AND (t.oid < 16384 OR t.typnamespace = to_regnamespace('information_schema'))"""
# Types by the last version that stored them as it did: later ones store them otherwise.
CHANGED_TYPES = {"aclitem": 15}


def stored(base: str) -> str:
    """The columns of tables, materialized views and indexes that hold a type for which `base` is true, also wrapped in a domain,
    an array, a composite or a range."""
    return f"""
WITH RECURSIVE wraps(inside, outside) AS MATERIALIZED (
  SELECT typbasetype, oid FROM pg_type WHERE typtype = 'd'
  UNION ALL SELECT typelem, oid FROM pg_type WHERE typtype = 'b' AND typelem <> 0
  UNION ALL SELECT rngsubtype, rngtypid FROM pg_range
  UNION ALL SELECT a.atttypid, c.reltype FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.reltype <> 0
), bad(root, oid) AS (
  SELECT t.oid, t.oid FROM pg_type t WHERE {base}
  UNION SELECT b.root, w.outside FROM bad b JOIN wraps w ON w.inside = b.oid
)
SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) AS what,
  (array_agg(format_type(b.root, NULL) ORDER BY b.root = a.atttypid DESC, b.root))[1] AS type
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN bad b ON b.oid = a.atttypid
WHERE c.relkind IN ('r', 'm', 'i') AND NOT a.attisdropped AND a.attnum > 0
  AND n.nspname !~ '^pg_temp_' AND n.nspname !~ '^pg_toast' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
GROUP BY 1 ORDER BY 1"""


def _columns(sight: Sight, base: str) -> List[str]:
    return few([f"{row['database']}: {row['what']} ({row['type']})" for row in in_each(sight, stored(base))])


def _reg_types(sight: Sight) -> List[str]:
    return _columns(sight, REG_TYPES)


def _removed_types(sight: Sight) -> List[str]:
    changed = [name for name, last in CHANGED_TYPES.items() if sight.old.version <= last < sight.new.version]
    if not changed:
        return []
    names = ", ".join(f"'{name}'" for name in changed)
    return _columns(sight, f"t.typnamespace = 'pg_catalog'::regnamespace AND t.typname IN ({names})")


POSTFIX = """SELECT format('the postfix operator %s.%s (%s, NONE)', quote_ident(n.nspname), o.oprname, format_type(o.oprleft, NULL)) AS what
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oprright = 0 AND o.oid >= 16384 ORDER BY 1"""
CONVERSIONS = """SELECT format('the encoding conversion %I.%I', n.nspname, c.conname) AS what
FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.oid >= 16384 ORDER BY 1"""
# 14 made these functions take anycompatiblearray; what was built on the old ones is not found again.
_POLYMORPHIC = """p.pronamespace = 'pg_catalog'::regnamespace AND (p.proname IN ('array_append', 'array_cat', 'array_prepend',
  'array_remove', 'array_replace', 'array_position', 'array_positions') OR p.proname = 'width_bucket' AND p.pronargs = 2)"""
_ANY = "('anyarray'::regtype, 'anyelement'::regtype)"
POLYMORPHICS = f"""WITH old AS (SELECT p.oid, p.proname FROM pg_proc p WHERE {_POLYMORPHIC})
SELECT format('the aggregate %s, built on %s', a.aggfnoid::regprocedure, o.proname) AS what
FROM pg_aggregate a JOIN old o ON o.oid IN (a.aggtransfn, a.aggfinalfn)
WHERE a.aggfnoid >= 16384 AND a.aggtranstype IN {_ANY}
UNION SELECT format('the operator %s, built on %s', op.oid::regoperator, o.proname)
FROM pg_operator op JOIN old o ON o.oid = op.oprcode WHERE op.oid >= 16384 AND op.oprleft IN {_ANY} ORDER BY 1"""
DATABASES = """SELECT datname AS name, datallowconn AS connects, datconnlimit = -2 AS broken FROM pg_database
WHERE datallowconn = (datname = 'template0') OR datconnlimit = -2 ORDER BY oid"""


def _removed_objects(sight: Sight) -> List[str]:
    found = []
    for row in sight.rows(DATABASES):
        if row["broken"]:
            found.append(f"the database {row['name']} is invalid, left by a DROP DATABASE that was interrupted")
        elif row["connects"]:
            found.append("template0 lets connections in (datallowconn)")
        else:
            found.append(f"the database {row['name']} lets no connections in (datallowconn)")
    installer = sight.row("SELECT rolname FROM pg_roles WHERE oid = 10")["rolname"]
    if installer != sight.old.superuser:
        found.append(f"the superuser that initdb made is {installer}, and the stack says {sight.old.superuser}")
    if sight.old.version <= 13 < sight.new.version:
        for query in (POSTFIX, CONVERSIONS, POLYMORPHICS):
            found += [f"{row['database']}: {row['what']}" for row in in_each(sight, query)]
    return few(found)


NOT_NULL = """SELECT format('%I.%I.%I', n.nspname, c.relname, ac.attname) AS what, ap.attrelid::regclass::text AS parent
FROM pg_inherits i JOIN pg_attribute ac ON ac.attrelid = i.inhrelid
JOIN pg_attribute ap ON ap.attrelid = i.inhparent AND ap.attname = ac.attname
JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE ap.attnum > 0 AND ap.attnotnull AND NOT ac.attnotnull ORDER BY 1"""


def _not_null(sight: Sight) -> List[str]:
    if sight.old.version >= 18:
        return []  # it lets nobody make such a table
    rows = in_each(sight, NOT_NULL)
    return few([f"{row['database']}: {row['what']} may be null, {row['parent']}'s may not" for row in rows])


CHECKS = (
    Check(
        name=CheckName.REG_TYPES,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="pg_upgrade refuses stored columns of types whose values, or whose own oid, the new cluster does not keep",
        do="ALTER TABLE ... ALTER COLUMN ... TYPE text USING ...::text (or oid, or a type of your own), or drop the column",
        look=_reg_types,
    ),
    Check(
        name=CheckName.REMOVED_TYPES,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="the new version stores these types otherwise, and pg_upgrade takes the files as they are",
        do="ALTER TABLE ... ALTER COLUMN ... TYPE text USING ...::text, or drop the column",
        look=_removed_types,
    ),
    Check(
        name=CheckName.REMOVED_OBJECTS,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="pg_upgrade refuses these",
        do="drop the objects (and make them again after cutover, for 14 on over anycompatiblearray); DROP DATABASE what is invalid; ALTER"
        " DATABASE ... ALLOW_CONNECTIONS true (template0: false); name the superuser that initdb made in pgleap:postgres.superuser",
        look=_removed_objects,
    ),
    Check(
        name=CheckName.REMOVED_COLUMNS,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="pg_upgrade makes these views again, which fails in the window, and `pg_upgrade --check` does not look for them",
        do="DROP VIEW on the old primary, and make it again after cutover, as the new version has the columns",
        look=removed_columns,
    ),
    Check(
        name=CheckName.NOT_NULL,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="restoring the schema fails where a child lacks its parent's NOT NULL",
        do="ALTER TABLE <child> ALTER COLUMN <column> SET NOT NULL",
        look=_not_null,
    ),
)
