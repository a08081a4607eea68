"""Views of the fleet's own on columns of system views that the new version does not have."""

from __future__ import annotations

from typing import Dict, List, Tuple

from agent.checks.each_database import in_each
from agent.checks.sight import Sight
from agent.checks.wording import few

# By view: columns and the version that has them no more (the release notes' sections "Migration to Version ...").
REMOVED: Dict[str, Tuple[Tuple[int, str], ...]] = {
    "pg_stat_bgwriter": (
        (17, "checkpoints_timed"),
        (17, "checkpoints_req"),
        (17, "checkpoint_write_time"),
        (17, "checkpoint_sync_time"),
        (17, "buffers_checkpoint"),
        (17, "buffers_backend"),
        (17, "buffers_backend_fsync"),
    ),
    "pg_stat_progress_vacuum": ((17, "max_dead_tuples"), (17, "num_dead_tuples")),
    "pg_stat_io": ((18, "op_bytes"),),
    "pg_stat_wal": ((18, "wal_write"), (18, "wal_sync"), (18, "wal_write_time"), (18, "wal_sync_time")),
    "pg_database": ((15, "datlastsysoid"), (17, "daticulocale")),
    "pg_collation": ((17, "colliculocale"),),
    "pg_attribute": ((18, "attcacheoff"),),
}

# On the catalogue's tables no dependency is kept, for they are pinned; so the rule's tree is read, in which a relation stands by
# its oid, and the definition, which spells out every column. What a view does not select it does not need.
QUERY = """
WITH gone(relation, name) AS (VALUES {gone}), here AS MATERIALIZED (
  SELECT c.oid, c.relname, array_agg(g.name) AS names FROM gone g
  JOIN pg_class c ON c.relname = g.relation AND c.relnamespace = 'pg_catalog'::regnamespace GROUP BY 1, 2
), using_it AS MATERIALIZED (
  SELECT r.ev_class AS view, h.relname, h.names, pg_get_viewdef(r.ev_class) AS definition
  FROM pg_rewrite r JOIN here h ON position(':relid ' || h.oid || ' ' IN r.ev_action::text) > 0
  WHERE r.ev_class >= 16384 AND r.rulename = '_RETURN'
)
SELECT u.view::regclass::text AS view, string_agg(format('%s.%s', u.relname, name), ', ' ORDER BY name) AS columns
FROM using_it u, unnest(u.names) name WHERE u.definition ~ ('\\m' || name || '\\M') GROUP BY 1 ORDER BY 1"""


def removed_columns(sight: Sight) -> List[str]:
    """Each such view and what it selects, in every database."""
    gone = [
        f"('{relation}', '{name}')"
        for relation, columns in REMOVED.items()
        for version, name in columns
        if sight.old.version < version <= sight.new.version
    ]
    if not gone:
        return []
    rows = in_each(sight, QUERY.format(gone=", ".join(gone)))
    return few([f"{row['database']}: the view {row['view']} on {row['columns']}" for row in rows])
