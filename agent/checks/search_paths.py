"""Functions that find nothing without the search_path of a client's session, where PostgreSQL itself runs them without one.

A worker that applies the stream has an empty search_path, and so have VACUUM, ANALYZE and REINDEX from 17 on (PostgreSQL documentation, "Logical
Replication: Security"; release notes of 17, "Migration"). Each expression that would be run there is tried on rows that are there, read only.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.session import Session
from agent.checks.sight import Sight
from agent.checks.wording import few
from agent.report import Refusal

ROWS = 100
# Expressions that an INSERT or UPDATE evaluates, and that call functions in a language whose bodies are looked up when they run.
EXPRESSIONS = """
WITH own AS (
  SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid >= 16384 AND l.lanname NOT IN ('internal', 'c')
), called AS (
  SELECT d.classid, d.objid, w.oid FROM pg_depend d JOIN own w ON d.refclassid = 'pg_proc'::regclass AND w.oid = d.refobjid
  UNION SELECT d.classid, d.objid, w.oid FROM pg_depend d JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
    JOIN own w ON w.oid = o.oprcode
), calling AS (
  SELECT classid, objid, string_agg(oid::regprocedure::text, ', ' ORDER BY oid) AS functions FROM called GROUP BY 1, 2
), found(what, relid, expression, functions) AS (
  SELECT 'the index ' || i.indexrelid::regclass, i.indrelid, concat_ws(', ', pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid)),
    c.functions
  FROM calling c JOIN pg_index i ON c.classid = 'pg_class'::regclass AND i.indexrelid = c.objid
  UNION ALL SELECT format('the constraint %I', k.conname), k.conrelid, pg_get_expr(k.conbin, k.conrelid), c.functions
  FROM calling c JOIN pg_constraint k ON c.classid = 'pg_constraint'::regclass AND k.oid = c.objid WHERE k.contype = 'c' AND k.conrelid <> 0
  UNION ALL SELECT format('the generated column %I', a.attname), a.attrelid, pg_get_expr(d.adbin, d.adrelid), c.functions
  FROM calling c JOIN pg_attrdef d ON c.classid = 'pg_attrdef'::regclass AND d.oid = c.objid
  JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
  UNION ALL SELECT 'the partition key', h.inhrelid, pg_get_partition_constraintdef(h.inhrelid), c.functions
  FROM calling c JOIN pg_partitioned_table p ON c.classid = 'pg_class'::regclass AND p.partrelid = c.objid
  JOIN pg_inherits h ON h.inhparent = p.partrelid
)
SELECT f.what, format('%I.%I', n.nspname, r.relname) AS table, f.expression, f.functions
FROM found f JOIN pg_class r ON r.oid = f.relid JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE r.relkind = 'r' AND r.relpersistence <> 't' AND f.expression <> '' ORDER BY 2, 1"""


def _without_search_path(sight: Sight) -> List[str]:
    found: List[str] = []
    for database in sight.databases():
        session = Session(sight.server, sight.cluster.program("psql"), sight.cluster.version, sight.login(database))
        try:
            session.rows("SELECT set_config('search_path', '', false) AS path")
            for row in session.rows(EXPRESSIONS):
                error = _error(session, row)
                if error is not None:
                    found.append(f"{database}: {row['table']}: {row['what']} calls {row['functions']}: {error}")
        finally:
            session.close()
    return few(found)


def _error(session: Session, row: Dict[str, Any]) -> Optional[str]:
    """What PostgreSQL says of the expression without a search_path; None if it finds all that it names."""
    asked = f"SELECT md5(ROW({row['expression']})::text) AS seen FROM"
    try:
        # A table without rows is tried on one of nulls, which functions that are STRICT never get to see.
        if not session.rows(f"{asked} ONLY {row['table']} LIMIT {ROWS}"):
            session.rows(f"{asked} (SELECT (NULL::{row['table']}).*) nobody")
    except Refusal as refused:
        said = refused.found.partition("LINE 1:")[0].partition("CONTEXT:")[0].partition("QUERY:")[0].strip()
        return said if "does not exist" in said else None
    return None


CHECKS = (
    Check(
        name=CheckName.SEARCH_PATHS,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="the worker that applies what DB_A writes has no search_path: the first such row stops its database; ANALYZE of that table fails on DB_A, too",
        do="ALTER FUNCTION ... SET search_path = <the schemas whose things it names>, of the function that the error came from, on the old primary",
        look=_without_search_path,
    ),
)
