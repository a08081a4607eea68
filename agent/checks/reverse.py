"""What the way back from cutover would not bring along, or only slowly; and sequences that are about to end."""

from __future__ import annotations

from typing import Callable, Dict, List

from agent import coverage
from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight
from agent.checks.wording import amount, few
from agent.coverage import Table
from agent.qualified import named_by

# A table without a key that is read whole for each UPDATE and DELETE that comes back: of this size it takes some tens of milliseconds.
LARGE_BYTES = 64 * 1024 * 1024
# From this version on a subscriber finds the row by any B-tree index that is not partial and begins with a column (release notes of 16, "Logical
# Replication"; replication/logical/relation.c, IsIndexUsableForReplicaIdentityFull).
ANY_INDEX_SINCE = 16
_ANY_INDEX = """EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
  WHERE i.indrelid = to_regclass(name) AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] <> 0 AND m.amname = 'btree')"""
NEAR_ITS_END = 0.9


def _tables(sight: Sight) -> Dict[str, List[Table]]:
    """The tables of every database that the stack does not leave out; none where it wants no stream back."""
    reverse = sight.desired["reverse"]
    if not reverse["enabled"]:
        return {}
    return {
        database: [
            table
            for table in coverage.tables(sight, database, reverse["leaveOut"], sight.new.version)
            if table.why_not != coverage.LEFT_OUT
        ]
        for database in sight.databases()
    }


def _leave_out(sight: Sight) -> List[str]:
    reverse = sight.desired["reverse"]
    entries = list(reverse["leaveOut"]) if reverse["enabled"] else []
    named = {
        entry
        for database in sight.databases()
        for entry, tables in named_by(entries, database, coverage.names(sight, database)).items()
        if tables
    }
    return few([f"{entry} names no table" for entry in entries if entry not in named])


def _not_carried(sight: Sight) -> List[str]:
    # Unlogged tables have a check of their own: they arrive empty on the way there already. So have those of extensions.
    return _told(sight, lambda why_not: why_not not in (coverage.UNLOGGED, coverage.OWNED))


def _of_extensions(sight: Sight) -> List[str]:
    return _told(sight, lambda why_not: why_not == coverage.OWNED)


def _told(sight: Sight, wanted: Callable[[str], bool]) -> List[str]:
    return few(
        [
            sentence
            for database, tables in _tables(sight).items()
            for sentence in coverage.not_covered(database, [table for table in tables if wanted(table.why_not)])
        ]
    )


def _keyless(sight: Sight) -> List[str]:
    """Of the large ones those whose rows are changed: what is only added to, such as a log, is carried as fast as any other."""
    found = []
    helped = _ANY_INDEX if sight.old.version >= ANY_INDEX_SINCE else "false"
    for database, tables in _tables(sight).items():
        names = [table.name for table in tables if table.is_covered and not table.has_key]
        if names:
            values = ", ".join("('" + name.replace("'", "''") + "')" for name in names)
            found += [
                f"{database}: {row['name']} ({amount(row['bytes'])}, {row['changed']} rows updated or deleted since statistics began)"
                for row in sight.rows(
                    "SELECT name, bytes, changed FROM (SELECT name, pg_table_size(to_regclass(name)) AS bytes, (SELECT n_tup_upd + n_tup_del"
                    f" FROM pg_stat_user_tables WHERE relid = to_regclass(name)) AS changed, {helped} AS helped FROM (VALUES {values}) v(name)) t"
                    f" WHERE bytes > {LARGE_BYTES} AND changed > 0 AND NOT helped ORDER BY bytes DESC",
                    database,
                )
            ]
    return few(found)


def _equal_rows(sight: Sight) -> List[str]:
    return few(
        [
            f"{database}: {table.name} ({table.loose})"
            for database, tables in _tables(sight).items()
            for table in tables
            if table.loose
        ]
    )


# A column may hold less than its sequence gives: those made before 10, and by hand, are bigint for an integer column too.
_COLUMN_END = """(SELECT CASE a.atttypid WHEN 'int2'::regtype THEN 32767::bigint WHEN 'int4'::regtype THEN 2147483647 END
  FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.refclassid = 'pg_class'::regclass
    AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 LIMIT 1)"""
SEQUENCES = f"""
SELECT name, last, "end", round(100.0 * last / "end") AS percent FROM (
  SELECT format('%I.%I', n.nspname, c.relname) AS name, pg_sequence_last_value(s.seqrelid) AS last,
    CASE WHEN s.seqincrement > 0 THEN least(s.seqmax, {_COLUMN_END}) ELSE s.seqmin END AS "end"
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT s.seqcycle AND c.relpersistence <> 't'
) q WHERE "end" <> 0 AND last::numeric / "end" > {NEAR_ITS_END} ORDER BY last::numeric / "end" DESC, 1"""


def _sequences(sight: Sight) -> List[str]:
    return few(
        [
            f"{row['database']}: {row['name']} is at {row['last']} of {row['end']} ({row['percent']} %)"
            for row in sight.everywhere(SEQUENCES)
        ]
    )


CHECKS = (
    Check(
        name=CheckName.LEAVE_OUT,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="a table that pgleap:reverseReplication.leaveOut means and does not name is carried like any other",
        do="write database.schema.table as the catalog has them, in double quotes where SQL wants them",
        look=_leave_out,
    ),
    Check(
        name=CheckName.REPLICA_IDENTITY,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="what is written to these tables after cutover does not come back if you go back",
        do="ALTER TABLE ... ADD PRIMARY KEY, or ALTER TABLE ... REPLICA IDENTITY USING INDEX; or name them in"
        " pgleap:reverseReplication.leaveOut",
        look=_not_carried,
    ),
    Check(
        name=CheckName.EXTENSION_TABLES,
        severity=Severity.NOTE,
        sides=(Side.OLD_PRIMARY,),
        why="tables that an extension made are not carried: most hold what came with it and stays as it is",
        do="if the application writes to one after cutover, write that down: it does not come back if you go back",
        look=_of_extensions,
    ),
    Check(
        name=CheckName.KEYLESS_TABLES,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="these have no key, and their rows are changed: each that is updated or deleted after cutover reads the whole table on the old"
        " primary, which falls behind",
        do="ALTER TABLE ... ADD PRIMARY KEY; or name them in pgleap:reverseReplication.leaveOut",
        look=_keyless,
    ),
    Check(
        name=CheckName.EQUAL_ROWS,
        severity=Severity.NOTE,
        sides=(Side.OLD_PRIMARY,),
        why="these have no key, and values that can be equal and not the same (1.0 and 1.00): after cutover another row than DB_A's may be"
        " updated on the old primary; a way back reads these tables whole, and is refused if they differ",
        do="ALTER TABLE ... ADD PRIMARY KEY; or name them in pgleap:reverseReplication.leaveOut",
        look=_equal_rows,
    ),
    Check(
        name=CheckName.SEQUENCES,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="INSERTs fail once a sequence, or the column that it fills, has come to its end",
        do="ALTER TABLE ... ALTER COLUMN ... TYPE bigint, and ALTER SEQUENCE ... AS bigint, before the window",
        look=_sequences,
    ),
)
