"""What pg_upgrade cannot restore, or leaves behind, and no trial is needed to know: told on the first day, before there is a DB_A."""

from __future__ import annotations

from typing import List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.each_database import in_each
from agent.checks.sight import Sight
from agent.checks.wording import few

# pg_dump leaves out what lies in pg_catalog (pg_dump.c, selectDumpableNamespace), but for extensions, which are made as such. Collations are
# there once more where somebody imported the system's again, as initdb does in the new cluster.
_CATALOGS = {
    "pg_class": "relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')",
    "pg_proc": "pronamespace = 'pg_catalog'::regnamespace",
    "pg_type": "typnamespace = 'pg_catalog'::regnamespace AND typrelid = 0 AND typtype IN ('b', 'd', 'e', 'r') AND typcategory <> 'A'",
    "pg_operator": "oprnamespace = 'pg_catalog'::regnamespace",
    "pg_opclass": "opcnamespace = 'pg_catalog'::regnamespace",
    "pg_ts_config": "cfgnamespace = 'pg_catalog'::regnamespace",
    "pg_ts_dict": "dictnamespace = 'pg_catalog'::regnamespace",
    "pg_conversion": "connamespace = 'pg_catalog'::regnamespace",
}
IN_PG_CATALOG = f"""
SELECT i.type || ' ' || i.identity AS what FROM (
  {" UNION ALL ".join(f"SELECT '{name}'::regclass, oid FROM {name} WHERE oid >= 16384 AND {one}" for name, one in _CATALOGS.items())}
) made(class, oid), pg_identify_object(made.class, made.oid, 0) i
WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = made.class AND d.objid = made.oid AND d.deptype = 'e') ORDER BY 1"""

# Refused from this version on where a child is made (tablecmds.c, MergeAttributes).
CHILDREN_LIKE_PARENTS = 16
GENERATED_CHILDREN = """
SELECT format('%I.%I.%I', n.nspname, c.relname, ac.attname) AS what FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute ac ON ac.attrelid = i.inhrelid AND ac.attgenerated <> '' AND NOT ac.attisdropped
JOIN pg_attribute ap ON ap.attrelid = i.inhparent AND ap.attname = ac.attname AND ap.attgenerated = '' AND NOT ap.attisdropped
ORDER BY 1"""


def _own_in_pg_catalog(sight: Sight) -> List[str]:
    return few([f"{row['database']}: {row['what']}" for row in in_each(sight, IN_PG_CATALOG)])


def _generated_children(sight: Sight) -> List[str]:
    if not sight.old.version < CHILDREN_LIKE_PARENTS <= sight.new.version:
        return []
    return few([f"{row['database']}: {row['what']}" for row in in_each(sight, GENERATED_CHILDREN)])


CHECKS = (
    Check(
        name=CheckName.OWN_IN_PG_CATALOG,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="what somebody made in pg_catalog is in no dump: pg_upgrade leaves it behind without a word, and stops over what uses it",
        do="make it in a schema of your own, have what uses it name that, and drop it; or drop it now and make it again after cutover",
        look=_own_in_pg_catalog,
    ),
    Check(
        name=CheckName.GENERATED_CHILDREN,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="from 16 on a child's column must not be generated where its parent's is not, so its table cannot be restored",
        do="ALTER TABLE <child> ALTER COLUMN ... DROP EXPRESSION, or ALTER TABLE <child> NO INHERIT <parent>",
        look=_generated_children,
    ),
)
