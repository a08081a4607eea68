"""How much there is to upgrade, counted in one way wherever it is told: by preflight, the forecast, its records and a rehearsal.

Databases are those that pg_upgrade carries over: whatever takes connections, templates too, and template1, which every cluster has, is named
beside them. Relations are the users' own in all of these (tables, indexes, sequences, views, TOAST tables), not the system's, which each
database has some 400 of.
"""

from __future__ import annotations

DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY oid"
# Large objects are counted up to so many in each database, and beyond that as the last ANALYZE estimated them.
MANY = 100_000
# From 16384 on PostgreSQL numbers what is not its own (FirstNormalObjectId in access/transam.h).
IN_A_DATABASE = f"""SELECT (SELECT count(*) FROM pg_class WHERE oid >= 16384) AS relations,
  (SELECT CASE WHEN count(*) > {MANY} THEN greatest(count(*), (SELECT reltuples::bigint FROM pg_class
    WHERE oid = 'pg_largeobject_metadata'::regclass)) ELSE count(*) END
   FROM (SELECT FROM pg_largeobject_metadata LIMIT {MANY + 1}) l) AS objects"""


def told(databases: int, relations: int, objects: int) -> str:
    """The three counts in words; `databases` is with template1. Pure."""
    own = max(databases - 1, 0)
    return (
        f"{own} database{'' if own == 1 else 's'} and template1, {relations} relations of your own,"
        f" {'about ' if objects > MANY else ''}{objects} large objects"
    )
