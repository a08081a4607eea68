"""Collations whose sort order is not the one that the indexes were built in."""

from __future__ import annotations

from typing import List

from agent.check_names import CheckName
from agent.checks.check import OLD_DATABASES, Check, Severity, Side
from agent.checks.each_database import in_each
from agent.checks.sight import Sight
from agent.checks.wording import amount, few, listed

# A database's own version is kept from 15 on; before that only collations that are named in a column have one.
_DATABASE_FROM = 15
_OF_THE_DATABASE = """UNION ALL SELECT 100, format('the database''s own (%s)', d.datcollate), d.datcollversion,
  pg_database_collation_actual_version(d.oid) FROM pg_database d WHERE d.datname = current_database() AND d.datcollversion IS NOT NULL"""
# Only collations that an index is sorted by: a database has some hundred of ICU's, and each takes time to be asked.
QUERY = """
WITH sorted AS MATERIALIZED (
  SELECT DISTINCT i.indexrelid, coll FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i',
    unnest(i.indcollation::oid[]) coll WHERE coll <> 0
), changed AS MATERIALIZED (
  SELECT oid, name, recorded, actual FROM (
    SELECT c.oid, format('%I', c.collname), c.collversion, pg_collation_actual_version(c.oid) FROM pg_collation c
    WHERE c.collversion IS NOT NULL AND c.oid IN (SELECT coll FROM sorted) {more}
  ) one(oid, name, recorded, actual) WHERE recorded <> actual
)
SELECT ch.name, ch.recorded, ch.actual, count(*) AS indexes, sum(pg_relation_size(s.indexrelid))::bigint AS bytes,
  (array_agg(s.indexrelid::regclass::text ORDER BY pg_relation_size(s.indexrelid) DESC))[1:3] AS largest
FROM changed ch JOIN sorted s ON s.coll = ch.oid GROUP BY 1, 2, 3 ORDER BY bytes DESC, 1"""


def _collation_versions(sight: Sight) -> List[str]:
    query = QUERY.format(more=_OF_THE_DATABASE if sight.cluster.version >= _DATABASE_FROM else "")
    return few(
        [
            f"{row['database']}: {row['name']} was {row['recorded']} and is {row['actual']} here: {row['indexes']} indexes with"
            f" {amount(row['bytes'])}, such as {listed(row['largest'])}"
            for row in in_each(sight, query)
        ]
    )


CHECKS = (
    Check(
        name=CheckName.COLLATION_VERSIONS,
        severity=Severity.WARN,
        sides=(*OLD_DATABASES, Side.TARGET, Side.NEW_REPLICA),
        why="an index built in another sort order misses rows, and lets duplicates in",
        do="on DB_A or a replica: install the system that the old primary has (glibc, ICU), or plan REINDEX for these right after cutover;"
        " on the old primary: REINDEX them, then ALTER COLLATION or ALTER DATABASE ... REFRESH COLLATION VERSION",
        look=_collation_versions,
    ),
)
