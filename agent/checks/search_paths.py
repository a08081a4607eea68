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
# Expressions that an INSERT, an UPDATE or ANALYZE evaluates, and that call functions in a language whose bodies are looked up when they run.
EXPRESSIONS = """
WITH RECURSIVE own AS (
  SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid >= 16384 AND l.lanname NOT IN ('internal', 'c')
), called AS (
  SELECT d.classid, d.objid, w.oid FROM pg_depend d JOIN own w ON d.refclassid = 'pg_proc'::regclass AND w.oid = d.refobjid
  UNION SELECT d.classid, d.objid, w.oid FROM pg_depend d JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
    JOIN own w ON w.oid = o.oprcode
), calling AS (
  SELECT classid, objid, string_agg(oid::regprocedure::text, ', ' ORDER BY oid) AS functions FROM called GROUP BY 1, 2
), domains(oid, base) AS (
  SELECT oid, oid FROM pg_type WHERE typtype = 'd' UNION SELECT d.oid, t.typbasetype FROM domains d JOIN pg_type t ON t.oid = d.base AND t.typtype = 'd'
), found(what, relid, expression, functions) AS (
  SELECT 'the index ' || i.indexrelid::regclass, i.indrelid, concat_ws(', ', pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid)),
    c.functions
  FROM calling c JOIN pg_index i ON c.classid = 'pg_class'::regclass AND i.indexrelid = c.objid
  UNION ALL SELECT format('the constraint %I', k.conname), k.conrelid, pg_get_expr(k.conbin, k.conrelid), c.functions
  FROM calling c JOIN pg_constraint k ON c.classid = 'pg_constraint'::regclass AND k.oid = c.objid WHERE k.contype = 'c' AND k.conrelid <> 0
  UNION ALL SELECT format('the domain of the column %I', a.attname), a.attrelid, format('%I::text::%s', a.attname, format_type(a.atttypid, NULL)), c.functions
  FROM calling c JOIN pg_constraint k ON c.classid = 'pg_constraint'::regclass AND k.oid = c.objid JOIN domains d ON d.base = k.contypid
  JOIN pg_attribute a ON a.atttypid = d.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL SELECT format('the generated column %I', a.attname), a.attrelid, pg_get_expr(d.adbin, d.adrelid), c.functions
  FROM calling c JOIN pg_attrdef d ON c.classid = 'pg_attrdef'::regclass AND d.oid = c.objid
  JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
  UNION ALL SELECT 'the partition key', h.inhrelid, pg_get_partition_constraintdef(h.inhrelid), c.functions
  FROM calling c JOIN pg_partitioned_table p ON c.classid = 'pg_class'::regclass AND p.partrelid = c.objid
  JOIN pg_inherits h ON h.inhparent = p.partrelid
  /* statistics */
)
SELECT f.what, format('%I.%I', n.nspname, r.relname) AS table, f.expression, f.functions
FROM found f JOIN pg_class r ON r.oid = f.relid JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE r.relkind IN ('r', 'm') AND r.relpersistence <> 't' AND f.expression <> '' ORDER BY 2, 1"""

# From this version on statistics can be of expressions.
STATISTICS_SINCE = 14
STATISTICS = """UNION ALL SELECT 'the statistics ' || quote_ident(e.stxname), e.stxrelid, array_to_string(pg_get_statisticsobjdef_expressions(e.oid), ', '),
    c.functions
  FROM calling c JOIN pg_statistic_ext e ON c.classid = 'pg_statistic_ext'::regclass AND e.oid = c.objid"""
# From this version on REFRESH, too, has pg_catalog alone.
REFRESHED_WITHOUT = 17
# No longer than this for each: it would be asked for rows that are not wanted.
VIEW_MILLISECONDS = 1000
# Materialized views whose query calls such functions, itself or by way of other views; what it reads is written with its schemas.
VIEWS = """
WITH RECURSIVE own AS (
  SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid >= 16384 AND l.lanname NOT IN ('internal', 'c')
    AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%')
), reads(view, relid) AS (
  SELECT oid, oid FROM pg_class WHERE relkind = 'm'
  UNION SELECT r.view, c.oid FROM reads r JOIN pg_rewrite w ON w.ev_class = r.relid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class c ON c.oid = d.refobjid AND c.relkind = 'v'
), calling AS (
  SELECT r.view, string_agg(DISTINCT f.oid::regprocedure::text, ', ') AS functions FROM reads r JOIN pg_rewrite w ON w.ev_class = r.relid
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
  LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
  JOIN own f ON d.refclassid = 'pg_proc'::regclass AND f.oid = d.refobjid OR f.oid = o.oprcode GROUP BY 1
)
SELECT format('%I.%I', n.nspname, v.relname) AS view, rtrim(pg_get_viewdef(v.oid), '; ') AS query, c.functions
FROM calling c JOIN pg_class v ON v.oid = c.view JOIN pg_namespace n ON n.oid = v.relnamespace ORDER BY 1"""


def _without_search_path(sight: Sight) -> List[str]:
    found: List[str] = []
    refreshed = sight.old.version < REFRESHED_WITHOUT <= sight.new.version
    with_statistics = STATISTICS if sight.old.version >= STATISTICS_SINCE else ""
    expressions = EXPRESSIONS.replace("/* statistics */", with_statistics)
    for database in sight.databases():
        session = Session(sight.server, sight.cluster.program("psql"), sight.cluster.version, sight.login(database))
        try:
            session.rows("SELECT set_config('search_path', '', false) AS path")
            for row in session.rows(expressions):
                error = _error(session, row)
                if error is not None:
                    found.append(f"{database}: {row['table']}: {row['what']} calls {row['functions']}: {error}")
            session.rows(f"SELECT set_config('statement_timeout', '{VIEW_MILLISECONDS}', false) AS most")
            for row in session.rows(VIEWS) if refreshed else ():
                error = _missing(session, f"SELECT md5(v::text) AS seen FROM ({row['query']}) v LIMIT 1")
                if error is not None:
                    found.append(f"{database}: REFRESH of {row['view']} calls {row['functions']}: {error}")
        finally:
            session.close()
    return few(found)


def _error(session: Session, row: Dict[str, Any]) -> Optional[str]:
    """What PostgreSQL says of the expression without a search_path; None if it finds all that it names."""
    asked = f"SELECT md5(ROW({row['expression']})::text) AS seen FROM"
    # A table without rows is tried on one of nulls, which functions that are STRICT never get to see.
    return _missing(
        session, f"{asked} ONLY {row['table']} LIMIT {ROWS}", f"{asked} (SELECT (NULL::{row['table']}).*) nobody"
    )


def _missing(session: Session, *queries: str) -> Optional[str]:
    """What one of these does not find, asked until one has rows; None if it finds all that it names, or takes too long to tell."""
    try:
        for query in queries:
            if session.rows(query):
                break
    except Refusal as refused:
        said = refused.found.partition("LINE 1:")[0].partition("CONTEXT:")[0].partition("QUERY:")[0].strip()
        return said if "does not exist" in said else None
    return None


CHECKS = (
    Check(
        name=CheckName.SEARCH_PATHS,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="the worker that applies what DB_A writes has no search_path: the first such row stops its database; ANALYZE of that table fails on DB_A,"
        " too, and from 17 on REFRESH of such a materialized view",
        do="ALTER FUNCTION ... SET search_path = <the schemas whose things it names>, of the function that the error came from, on the old primary",
        look=_without_search_path,
    ),
)
