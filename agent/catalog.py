"""A fingerprint of what the reverse stream does not carry: definitions, roles, settings, large objects. Taken on DB_A before it
opens, and compared with what is there whenever somebody asks whether the way back still loses nothing."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping

from agent import coverage
from agent.postgres import Postgres

Fingerprint = Dict[str, str]
"""What it is, as people call it -> a digest of its definition."""

_OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgleap') AND n.nspname !~ '^pg_(toast|temp)'"

# Statistics count writes to large objects, which no catalog shows; a crash sets them back, which shows as a change.
IN_DATABASE = f"""
SELECT what, md5(string_agg(definition, ';' ORDER BY definition)) AS digest FROM (
  SELECT concat(CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'c' THEN 'type'
      WHEN 'f' THEN 'foreign table' ELSE 'table' END, ' ', format('%I.%I', n.nspname, c.relname)) AS what,
    concat_ws('|', c.relkind, c.relowner::regrole, c.relacl, c.relpersistence, c.relrowsecurity,
      (SELECT string_agg(concat_ws(',', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        a.attgenerated, pg_get_expr(d.adbin, d.adrelid)), ';' ORDER BY a.attnum)
       FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
      (SELECT string_agg(pg_get_constraintdef(k.oid), ';' ORDER BY k.conname) FROM pg_constraint k WHERE k.conrelid = c.oid),
      (SELECT string_agg(pg_get_triggerdef(t.oid) || t.tgenabled::text, ';' ORDER BY t.tgname) FROM pg_trigger t
       WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
      (SELECT string_agg(pg_get_indexdef(i.indexrelid), ';' ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid),
      CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, pg_get_expr(c.relpartbound, c.oid)) AS definition
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relpersistence <> 't' AND {_OURS}
  UNION ALL
  SELECT concat('type ', format('%I.%I', n.nspname, t.typname)), concat_ws('|', t.typtype, t.typbasetype::regtype, t.typnotnull,
      t.typdefault, t.typacl, (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
      (SELECT string_agg(pg_get_constraintdef(k.oid), ';' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid))
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('d', 'e', 'r') AND {_OURS}
  UNION ALL
  SELECT concat('function ', format('%I.%I', n.nspname, p.proname)), md5(p::text)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS}
  UNION ALL
  SELECT 'extension ' || quote_ident(e.extname), e.extversion FROM pg_extension e
  UNION ALL
  SELECT 'schema ' || quote_ident(n.nspname), concat_ws('|', n.nspowner::regrole, n.nspacl) FROM pg_namespace n WHERE {_OURS}
  UNION ALL
  SELECT 'large objects', concat_ws('|', (SELECT concat(count(*), '|', max(oid)) FROM pg_largeobject_metadata),
      s.n_tup_ins, s.n_tup_upd, s.n_tup_del) FROM pg_stat_sys_tables s WHERE s.relname = 'pg_largeobject'
) found GROUP BY 1
"""

SHARED = """
SELECT what, md5(string_agg(definition, ';' ORDER BY definition)) AS digest FROM (
  SELECT 'role ' || quote_ident(rolname) AS what, concat_ws('|', rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
      rolreplication, rolbypassrls, rolconnlimit, rolpassword, rolvaliduntil,
      (SELECT string_agg(m.roleid::regrole::text, ',' ORDER BY m.roleid) FROM pg_auth_members m WHERE m.member = a.oid)) AS definition
  FROM pg_authid a WHERE rolname !~ '^pg_' AND rolname NOT IN ('pgleap', 'pgleap_root')
  UNION ALL
  SELECT 'database ' || quote_ident(datname), concat_ws('|', datdba::regrole, datacl, datconnlimit, datallowconn) FROM pg_database
  UNION ALL
  SELECT concat('settings of ', CASE WHEN setdatabase = 0 THEN 'every database' ELSE 'database ' || quote_ident(d.datname) END,
      CASE WHEN setrole <> 0 THEN ' for ' || setrole::regrole END), setconfig::text
  FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
) found GROUP BY 1
"""


def take(postgres: Postgres, jobs: int) -> Dict[str, Fingerprint]:
    """What all databases of a running cluster are, and what they share. `jobs`: databases side by side."""
    databases = coverage.databases(postgres)
    each = postgres.server.side_by_side(lambda one: fingerprint(postgres.rows(IN_DATABASE, one)), databases, jobs)
    return whole(postgres, dict(zip(databases, each)))


def whole(postgres: Postgres, each: Mapping[str, Fingerprint]) -> Dict[str, Fingerprint]:
    """With the fingerprint of what all databases share, which stands where a database's name does: ""."""
    return {"": fingerprint(postgres.rows(SHARED)), **each}


def fingerprint(rows: Iterable[Mapping[str, str]]) -> Fingerprint:
    """Of what IN_DATABASE or SHARED found."""
    return {row["what"]: row["digest"] for row in rows}


def differences(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> List[str]:
    """What was made, changed or dropped since, named. Pure."""
    found = []
    for database in sorted({*before, *now}):
        old, new = before.get(database, {}), now.get(database, {})
        if (database in before) is not (database in now):
            continue  # the database itself is among what all share
        where = f"{database}: " if database else ""
        for what in sorted({*old, *new}):
            if old.get(what) != new.get(what):
                verb = "made" if what not in old else "dropped" if what not in new else "changed"
                found.append(f"{where}{what} was {verb}")
    return found
