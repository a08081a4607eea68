"""A fingerprint of what the reverse stream does not carry: definitions, roles, settings, large objects. Taken on DB_A before it
opens, and compared with what is there whenever somebody asks whether the way back still loses nothing.

Both are taken of the same server, so every row of every system catalog counts as it stands, but for what PostgreSQL itself changes in
passing: a kind of object that this file never heard of is in it all the same.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from agent import coverage
from agent.client_rules import LOCAL_ROLE, READER, REHEARSAL
from agent.postgres import Postgres

Fingerprint = Dict[str, str]
"""What it is, as people call it -> a digest of its definition; of a table also, after a slash, the file that its rows are in."""

COLUMNS = """SELECT c.relname AS catalog, c.relisshared AS shared, json_agg(a.attname ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' GROUP BY 1, 2 ORDER BY 1"""

# What holds no definitions, or what is asked for in another way below.
_LEFT_OUT = {
    "pg_statistic", "pg_statistic_ext_data", "pg_largeobject", "pg_largeobject_metadata", "pg_shdepend", "pg_subscription_rel",
    "pg_replication_origin",
}  # fmt: skip
# What (auto)vacuum, ANALYZE, CLUSTER, VACUUM FULL, TRUNCATE and REINDEX CONCURRENTLY change.
_IN_PASSING = {
    "pg_class": {"relfilenode", "relpages", "reltuples", "relallvisible", "relallfrozen", "reltoastrelid", "relhasindex", "relhasrules",
                 "relhastriggers", "relhassubclass", "relrewrite", "relfrozenxid", "relminmxid"},
    "pg_attribute": {"atthasmissing", "attmissingval"},
    "pg_constraint": {"conindid"},
    "pg_database": {"datfrozenxid", "datminmxid", "dathasloginevt"},
    "pg_index": {"indexrelid", "indcheckxmin"},
    "pg_subscription": {"subskiplsn"},
    "pg_trigger": {"tgconstrindid"},
}  # fmt: skip
# Rows that belong to another object than themselves: its class and oid, in SQL. A catalog that is not here tells of objects of its own.
_RELATION, _TYPE = "'pg_class'::regclass", "'pg_type'::regclass"
_BELONGS: Dict[str, Tuple[str, str]] = {
    **{catalog: (_RELATION, column) for catalog, column in (
        ("pg_attribute", "attrelid"), ("pg_attrdef", "adrelid"), ("pg_index", "indrelid"), ("pg_inherits", "inhrelid"),
        ("pg_partitioned_table", "partrelid"), ("pg_rewrite", "ev_class"), ("pg_sequence", "seqrelid"), ("pg_trigger", "tgrelid"),
        ("pg_foreign_table", "ftrelid"),
    )},
    "pg_constraint": (f"CASE WHEN conrelid = 0 THEN {_TYPE} ELSE {_RELATION} END", "CASE WHEN conrelid = 0 THEN contypid ELSE conrelid END"),
    "pg_enum": (_TYPE, "enumtypid"),
    "pg_range": (_TYPE, "rngtypid"),
    "pg_aggregate": ("'pg_proc'::regclass", "aggfnoid"),
    "pg_amop": ("'pg_opfamily'::regclass", "amopfamily"),
    "pg_amproc": ("'pg_opfamily'::regclass", "amprocfamily"),
    "pg_ts_config_map": ("'pg_ts_config'::regclass", "mapcfg"),
    "pg_publication_rel": ("'pg_publication'::regclass", "prpubid"),
    "pg_publication_namespace": ("'pg_publication'::regclass", "pnpubid"),
    "pg_auth_members": ("'pg_authid'::regclass", "member"),
    "pg_db_role_setting": (
        "CASE WHEN setdatabase = 0 THEN 'pg_authid'::regclass ELSE 'pg_database'::regclass END",
        "CASE WHEN setdatabase = 0 THEN setrole ELSE setdatabase END",
    ),
    "pg_depend": ("classid", "objid"),
    **dict.fromkeys(("pg_description", "pg_seclabel", "pg_shdescription", "pg_shseclabel", "pg_init_privs"), ("classoid", "objoid")),
}  # fmt: skip
# Columns that say whose row it is: a REINDEX CONCURRENTLY hands everything to an index with another oid.
_OWNERS = {"oid", "attrelid", "inhrelid", "aggfnoid", "classid", "objid", "classoid", "objoid"}
# Options of a table that are kept elsewhere, in a row that a VACUUM FULL makes anew.
_MORE = {"pg_class": ["(SELECT t.reloptions FROM pg_class t WHERE t.oid = pg_class.reltoastrelid)"]}
_ONLY = {
    "pg_attribute": "attnum > 0",
    # Members of extensions, and the columns that sequences belong to; all else follows from the definitions.
    "pg_depend": f"deptype IN ('e', 'x') OR classid = {_RELATION} AND refclassid = {_RELATION} AND refobjsubid > 0",
}
# Of these the ones that initdb made are told by name; the thousands of others count as one for each catalog.
_NAMED = "('pg_namespace', 'pg_database', 'pg_authid', 'pg_tablespace', 'pg_extension', 'pg_language')"
_FIRST_OID = 16384

_HIDDEN_SCHEMAS = (
    f"SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast|temp)' OR nspname IN ('{READER}', '{REHEARSAL}')"
)
# Statistics count writes to large objects, which no catalog shows; a crash sets them back, which shows as a change.
_LARGE_OBJECTS = """SELECT 'large objects' AS what, concat_ws('|', count(*), sum(hashtextextended(concat_ws('|', oid, lomowner, lomacl), 0)),
    (SELECT concat_ws('|', s.n_tup_ins, s.n_tup_upd, s.n_tup_del) FROM pg_stat_sys_tables s WHERE s.relname = 'pg_largeobject')) AS digest,
  NULL::oid AS file, NULL::name AS schema, NULL::name AS table FROM pg_largeobject_metadata"""


def query(catalogs: Iterable[Mapping[str, Any]], shared: bool) -> str:
    """What a database is, or what all of them share, from what COLUMNS found: `what`, `digest`, and of a table `file`, `schema`, `table`.
    Pure."""
    return f"""
{_summed(catalogs, shared)}
SELECT what, sum(hash)::text AS digest, max(file) AS file, max(schema)::name AS schema, max("table")::name AS table FROM (
  SELECT coalesce(n.type || ' ' || n.identity, 'what ' || s.class::regclass || ' holds of PostgreSQL itself') AS what, s.hash,
    c.relfilenode AS file, r.nspname AS schema, c.relname AS "table"
  FROM summed s LEFT JOIN LATERAL pg_identify_object(s.class, s.id, 0) n ON s.id <> 0
  LEFT JOIN pg_class c ON s.class = {_RELATION} AND c.oid = s.id AND c.relkind = 'r' LEFT JOIN pg_namespace r ON r.oid = c.relnamespace
) named GROUP BY 1{"" if shared else f"{chr(10)}UNION ALL {_LARGE_OBJECTS}"}
"""


def whole(catalogs: Iterable[Mapping[str, Any]], shared: bool) -> str:
    """The same as one `whole_digest`, for whoever asks only whether anything was made, changed or dropped: nothing is named, which takes
    most of the time. Of large objects owners and rights count, not how many there are. Beside it the number of the users' `relations`. Pure."""
    rights = "SELECT concat_ws('|', lomowner, lomacl) FROM pg_largeobject_metadata GROUP BY lomowner, lomacl"
    more = "0" if shared else f"(SELECT coalesce(sum(hashtextextended(o, 0)), 0) FROM ({rights}) l(o))"
    return f"""
{_summed(catalogs, shared)}
SELECT (coalesce(sum(hashtextextended(concat_ws('|', class, id, hash), 0)), 0) + {more})::text AS whole_digest,
  (SELECT count(*) FROM pg_class WHERE oid >= {_FIRST_OID}) AS relations FROM summed
"""


def _summed(catalogs: Iterable[Mapping[str, Any]], shared: bool) -> str:
    """Each object's class, id and hash, as `summed`."""
    asked = [one for one in catalogs if one["shared"] is shared and one["catalog"] not in _LEFT_OUT]
    rows = "\n  UNION ALL ".join(_rows(one["catalog"], one["columns"]) for one in asked)
    hidden = [f"SELECT 'pg_namespace'::regclass::oid, oid FROM ({_HIDDEN_SCHEMAS}) s"]
    hidden += [
        f"SELECT 'pg_policy'::regclass, p.oid FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace IN ({_HIDDEN_SCHEMAS})"
    ]
    hidden += [
        f"SELECT '{one['catalog']}'::regclass, oid FROM {one['catalog']} WHERE {column} IN ({_HIDDEN_SCHEMAS})"
        for one in asked
        for column in one["columns"]
        if column.endswith("namespace") and "oid" in one["columns"]
    ]
    hidden += [
        f"SELECT 'pg_authid'::regclass, oid FROM pg_authid WHERE rolname IN ('{READER}', '{LOCAL_ROLE}', '{REHEARSAL}')"
    ]
    # An index is its table's, and so are the types of its row and of arrays of those.
    return f"""WITH found(class, id, hash) AS (
  {rows}
), hidden(class, id) AS (
  {" UNION ALL ".join(hidden)}
), owned AS (
  SELECT CASE WHEN coalesce(e.typrelid, t.typrelid, 0) <> 0 THEN {_RELATION} ELSE f.class END AS class,
    CASE WHEN coalesce(e.typrelid, t.typrelid, 0) <> 0 THEN coalesce(e.typrelid, t.typrelid) ELSE coalesce(i.indrelid, e.oid, f.id) END AS id,
    f.hash
  FROM found f LEFT JOIN pg_index i ON f.class = {_RELATION} AND i.indexrelid = f.id
  LEFT JOIN pg_type t ON f.class = {_TYPE} AND t.oid = f.id LEFT JOIN pg_type e ON f.class = {_TYPE} AND e.typarray = f.id
), summed AS (
  SELECT class, id, sum(hash) AS hash FROM (
    SELECT class, CASE WHEN id >= {_FIRST_OID} OR class::regclass::text IN {_NAMED} THEN id ELSE 0 END AS id, hash
    FROM owned o WHERE NOT EXISTS (SELECT FROM hidden h WHERE h.class = o.class AND h.id = o.id)
  ) o GROUP BY 1, 2
)"""


def _rows(catalog: str, columns: Sequence[str]) -> str:
    class_, oid = _BELONGS.get(catalog, (f"'{catalog}'::regclass", "oid" if "oid" in columns else "0"))
    counted = [one for one in columns if one not in _OWNERS | _IN_PASSING.get(catalog, set())] + _MORE.get(catalog, [])
    only = f" WHERE {_ONLY[catalog]}" if catalog in _ONLY else ""
    return f"SELECT {class_}::oid, ({oid})::oid, hashtextextended(ROW({', '.join(counted)})::text, 0)::numeric FROM {catalog}{only}"


def take(postgres: Postgres, jobs: int) -> Dict[str, Fingerprint]:
    """What all databases of a running cluster are, and what they share, which stands where a database's name does: "". `jobs`: databases
    side by side."""
    return {database: fingerprint(rows) for database, rows in rows_of(postgres, jobs).items()}


def rows_of(postgres: Postgres, jobs: int) -> Dict[str, List[Dict[str, Any]]]:
    """The rows of `query` in each database, and under "" what all share."""
    databases, columns = postgres.each_rows([coverage.DATABASES, COLUMNS])
    names = ["", *(row["datname"] for row in databases)]
    inside, shared = query(columns, shared=False), query(columns, shared=True)

    def ask(name: str) -> List[Dict[str, Any]]:
        return postgres.rows(inside, name) if name else postgres.rows(shared)

    return dict(zip(names, postgres.server.side_by_side(ask, names, jobs)))


def fingerprint(rows: Iterable[Mapping[str, Any]]) -> Fingerprint:
    """Of what `query` found. Pure."""
    return {row["what"]: f"{row['digest']}/{row['file']}" if row["file"] else row["digest"] for row in rows}


def differences(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> List[str]:
    """What was made, changed or dropped since, named. Pure."""
    found = []
    for database in sorted({*before, *now}):
        old, new = before.get(database, {}), now.get(database, {})
        if (database in before) is not (database in now):
            continue  # the database itself is among what all share
        where = f"{database}: " if database else ""
        for what in sorted({*old, *new}):
            if what not in old or what not in new or _digest(old[what]) != _digest(new[what]):
                verb = "made" if what not in old else "dropped" if what not in new else "changed"
                found.append(f"{where}{what} was {verb}")
    return found


def _digest(found: str) -> str:
    return found.partition("/")[0]


def rewritten(before: Fingerprint, rows: Iterable[Mapping[str, Any]]) -> List[Tuple[str, str]]:
    """The tables, as schema and name, whose rows are in another file than `before`: an ALTER TABLE ... USING writes them anew and tells
    nobody what it made of them, as do the harmless VACUUM FULL, CLUSTER and TRUNCATE. Pure."""
    return [
        (row["schema"], row["table"])
        for row in rows
        if row["file"] and row["what"] in before and before[row["what"]].partition("/")[2] != str(row["file"])
    ]
