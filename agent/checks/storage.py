"""What there is of data on the old primary, where it lies, and what of it does not travel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List

from agent import amounts
from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.each_database import in_each
from agent.checks.sight import Sight
from agent.checks.wording import amount, few
from agent.coverage import UNLOGGED_SEQUENCES

# A relation's file of an age at which its transaction should have shown it to others.
ORPHAN_SECONDS = 60

TABLESPACES = (
    "SELECT spcname AS name, pg_tablespace_location(oid) AS place, current_setting('data_directory') AS data FROM pg_tablespace"
    " WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1"
)
# One statement, one snapshot: a file younger than that is left out, so nothing made meanwhile is taken for an orphan.
ORPHANS = f"""
WITH here AS (SELECT oid FROM pg_database WHERE datname = current_database()),
 files AS MATERIALIZED (SELECT f.name, substring(f.name FROM '^\\d+')::oid AS node FROM here, pg_ls_dir('base/' || here.oid) f(name)
  WHERE f.name ~ '^\\d+(_(fsm|vm|init))?(\\.\\d+)?$'),
 strays AS MATERIALIZED (SELECT name FROM files WHERE node NOT IN
  (SELECT pg_relation_filenode(oid) FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL))
SELECT count(*) AS files, coalesce(sum(s.size), 0)::bigint AS bytes, (array_agg(strays.name ORDER BY s.size DESC))[1:3] AS names
FROM here, strays, LATERAL pg_stat_file('base/' || here.oid || '/' || strays.name, true) s
WHERE s.size > 0 AND s.modification < clock_timestamp() - interval '{ORPHAN_SECONDS} seconds'"""


def _tablespaces(sight: Sight) -> List[str]:
    found = []
    for row in sight.rows(TABLESPACES):
        data, place = os.path.realpath(row["data"]), os.path.realpath(Path(row["data"], row["place"]))
        if place == data or place.startswith(f"{data}/"):
            found.append(f"{row['name']} is at {place}, inside the data directory")
    return few(found)


def _tablespace_disks(sight: Sight) -> List[str]:
    found = []
    for row in sight.rows(TABLESPACES):
        data, place = sight.server.path(row["data"]), sight.server.path(row["place"])
        if row["place"].startswith("/") and place.stat().st_dev != data.stat().st_dev:
            size = sight.row(f"SELECT pg_tablespace_size('{_quoted(row['name'])}') AS bytes")["bytes"]
            found.append(f"{row['name']} is at {row['place']}, {amount(size)} on a disk of its own")
    return few(found)


def _quoted(name: str) -> str:
    return name.replace("'", "''")


def _unlogged(sight: Sight) -> List[str]:
    sequences = [
        f"{row['database']}: the sequence {row['name']}, which starts anew"
        for row in sight.everywhere(UNLOGGED_SEQUENCES)
    ]
    return few([*_unlogged_tables(sight), *sequences])


def _unlogged_tables(sight: Sight) -> List[str]:
    rows = sight.everywhere(
        "SELECT format('%I.%I', n.nspname, c.relname) AS name, pg_total_relation_size(c.oid) AS bytes, c.reltuples::bigint AS rows"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relpersistence = 'u' AND c.relkind = 'r' AND pg_relation_size(c.oid) > 0 ORDER BY 2 DESC LIMIT 100"
    )
    return [
        f"{row['database']}: {row['name']}, {amount(row['bytes'])}"
        + (f", about {row['rows']} rows" if row["rows"] > 0 else "")
        for row in sorted(rows, key=lambda row: -int(row["bytes"]))
    ]


def _amounts(sight: Sight) -> List[str]:
    each = in_each(sight, amounts.IN_A_DATABASE)
    relations, objects = (sum(int(row[key]) for row in each) for key in ("relations", "objects"))
    size = int(sight.row("SELECT sum(pg_database_size(oid))::bigint AS bytes FROM pg_database")["bytes"])
    largest = max(each, key=lambda row: int(row["relations"]))
    most = f"most relations in {largest['database']}: {largest['relations']}"
    return [f"{amounts.told(len(each), relations, objects)}, {amount(size)}; {most}"]


def _temporary_files(sight: Sight) -> List[str]:
    rows = sight.rows(
        "SELECT t.spcname AS name, count(*) AS files, sum(f.size)::bigint AS bytes FROM pg_tablespace t, LATERAL pg_ls_tmpdir(t.oid) f"
        " WHERE t.spcname <> 'pg_global' GROUP BY 1 HAVING sum(f.size) > 0 ORDER BY 1"
    )
    return few([f"{row['name']}: {amount(row['bytes'])} in {row['files']} files" for row in rows])


def _orphaned_files(sight: Sight) -> List[str]:
    return few(
        [
            f"{row['database']}: {amount(row['bytes'])} in {row['files']} files, such as {', '.join(row['names'])}"
            for row in sight.everywhere(ORPHANS)
            if row["files"]
        ]
    )


CHECKS = (
    Check(
        name=CheckName.TABLESPACES,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="pg_upgrade's script to delete the old cluster would delete the tablespace with it, and a base backup would copy it twice",
        do="move what is in it: ALTER TABLE ALL IN TABLESPACE <name> SET TABLESPACE <other>, then DROP TABLESPACE",
        look=_tablespaces,
    ),
    Check(
        name=CheckName.TABLESPACE_DISKS,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="DB_A and the new replicas get it at the same path, on whatever disk is there: the root disk if none is mounted",
        do="mount a disk of that size at that path on DB_A and the new replicas before prepare",
        look=_tablespace_disks,
    ),
    Check(
        name=CheckName.UNLOGGED_TABLES,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="what they hold is in no WAL, so tables are empty on DB_A after cutover, and sequences give out again what they gave out before",
        do="see that the application fills them again, or ALTER TABLE (SEQUENCE) <name> SET LOGGED (it rewrites the table under a lock)",
        look=_unlogged,
    ),
    Check(
        name=CheckName.AMOUNTS,
        severity=Severity.NOTE,
        sides=(Side.OLD_PRIMARY,),
        why="databases, relations and large objects, not bytes, set how long pg_upgrade --link takes, with writes refused",
        do="drop what is not needed (old partitions, lo_unlink or vacuumlo), and measure the upgrade in a rehearsal",
        look=_amounts,
    ),
    Check(
        name=CheckName.TEMPORARY_FILES,
        severity=Severity.NOTE,
        sides=(Side.OLD_PRIMARY,),
        why="queries that sort on disk now will on DB_B too, which serves all reads; and a crash leaves such files behind",
        do="see log_temp_files for whose they are; raise work_mem for those queries",
        look=_temporary_files,
    ),
    Check(
        name=CheckName.ORPHANED_FILES,
        severity=Severity.NOTE,
        sides=(Side.OLD_PRIMARY,),
        why="they belong to no relation (a crash leaves such files, and so does a long transaction that is not finished) and are copied"
        " to DB_A",
        do="leave them: pg_upgrade does not take them along, so the new cluster is without",
        look=_orphaned_files,
    ),
)
