"""Materialized views, whose contents the stream does not carry: made anew on the old primary once it takes writes again."""

from __future__ import annotations

from typing import List

from agent import short_locks
from agent.postgres import Postgres
from agent.report import Refusal, progress

# Those that hold something; one made from another was made after it. REFRESH ... CONCURRENTLY, which lets readers read, wants a unique
# index over whole rows (matview.c, is_usable_unique_index).
VIEWS = """SELECT format('%I.%I', n.nspname, c.relname) AS name, EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_am a ON a.oid = x.relam WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
    AND a.amname = 'btree' AND i.indnkeyatts > 0 AND 0 <> ALL (i.indkey::int2[])) AS beside
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND c.relispopulated ORDER BY c.oid"""
# For one of them. What it holds is old until then, and it can be read; whoever needs it sooner ends who stands in the way.
SECONDS = 15.0


def refresh(postgres: Postgres, database: str) -> List[str]:
    """Refresh those of a database, each for itself, under the fleet's own search_path; which were not, each in a sentence.

    One that has no unique index is locked against its readers for as long as its query takes, as whenever the fleet refreshes it.
    """
    left = []
    for view in postgres.rows(VIEWS, database):
        name = view["name"]
        progress(f"refreshing {database}: {name}")
        ways = [f"REFRESH MATERIALIZED VIEW CONCURRENTLY {name};"] if view["beside"] else []
        why = _first_that_works(postgres, database, [*ways, f"REFRESH MATERIALIZED VIEW {name};"])
        if why:
            progress(f"{database}: {name} was not refreshed: {why}")
            left.append(f"{database}: {name} is as it was before cutover ({why}): REFRESH MATERIALIZED VIEW {name}")
    return left


def _first_that_works(postgres: Postgres, database: str, ways: List[str]) -> str:
    """ "" once one of these works, else why the last does not; whoever holds the lock of one holds that of the next."""
    why = ""
    for sql in ways:
        try:
            short_locks.execute(postgres, sql, database, writing=True, seconds=SECONDS, own_search_path=True)
        except short_locks.Busy as busy:
            return busy.found
        except Refusal as refused:
            why = refused.found
        else:
            return ""
    return why
