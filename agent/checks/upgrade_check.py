"""`pg_upgrade --check` against the standby as it streams, and its reports, file by file, in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List, Set, Tuple

from agent import pg_upgrade
from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight
from agent.checks.upgrade_target import must_be_installed, must_be_standby, must_have_new_cluster
from agent.checks.wording import few
from agent.report import Refusal

_TO_TEXT = "ALTER TABLE ... ALTER COLUMN ... TYPE, or drop the column"
# By report: what it lists, and what to do on the old primary. From check.c, function.c and version.c of pg_upgrade 13 to 18.
REPORTS: Dict[str, Tuple[str, str]] = {
    "loadable_libraries.txt": (
        "libraries that the new version cannot load",
        "install their packages for the new version on DB_A, or drop the extensions and functions that use them",
    ),
    "tables_using_reg.txt": ("columns of reg* types, which hold oids that are not kept", _TO_TEXT),
    "tables_using_composite.txt": ("columns of the system's own row types, whose oids are not kept", _TO_TEXT),
    "tables_using_aclitem.txt": ("columns of aclitem, which 16 stores otherwise", _TO_TEXT),
    "tables_using_line.txt": ("columns of line, which 9.4 stores otherwise", _TO_TEXT),
    "tables_using_jsonb.txt": ("columns of jsonb as a beta of 9.4 stored it", _TO_TEXT),
    "tables_using_unknown.txt": ("columns of unknown, which tables may not have from 10 on", _TO_TEXT),
    "tables_using_sql_identifier.txt": ("columns of sql_identifier, which 12 stores otherwise", _TO_TEXT),
    "tables_using_abstime.txt": ("columns of abstime, which 12 has no more", _TO_TEXT),
    "tables_using_reltime.txt": ("columns of reltime, which 12 has no more", _TO_TEXT),
    "tables_using_tinterval.txt": ("columns of tinterval, which 12 has no more", _TO_TEXT),
    "tables_with_oids.txt": ("tables WITH OIDS", "ALTER TABLE ... SET WITHOUT OIDS"),
    "postfix_ops.txt": ("postfix operators, which 14 has no more", "DROP OPERATOR, and use functions"),
    "encoding_conversions.txt": ("encoding conversions, whose functions 14 calls otherwise", "DROP CONVERSION"),
    "incompatible_polymorphics.txt": (
        "aggregates and operators on functions that take anycompatiblearray from 14 on",
        "drop them, and make them over anycompatiblearray after cutover",
    ),
    "not_null_inconsistent_columns.txt": (
        "children's columns without their parent's NOT NULL",
        "ALTER TABLE ... ALTER COLUMN ... SET NOT NULL",
    ),
    "contrib_isn_and_int8_pass_by_value.txt": (
        "functions of isn, where the two builds pass bigint otherwise",
        "DROP EXTENSION isn, or install a build that passes bigint as the old one",
    ),
    "databases_with_datallowconn_false.txt": (
        "databases that let no connections in",
        "ALTER DATABASE ... ALLOW_CONNECTIONS true, or drop them",
    ),
    "databases_cannot_connect_to.txt": (
        "databases that let no connections in, or are invalid",
        "ALTER DATABASE ... ALLOW_CONNECTIONS true, or drop them",
    ),
    "pg_role_prefix.txt": ("roles whose names begin with pg_", "ALTER ROLE ... RENAME"),
    "invalid_logical_slots.txt": ("logical slots that are lost or not consumed", "consume or drop them"),
    "disallowed_output_plugins.txt": (
        "logical slots with plugins that the new cluster does not allow",
        "add them to output_plugin_libraries, or drop the slots",
    ),
    "subs_invalid.txt": (
        "subscriptions without their origin, or with tables half copied",
        "let the copy end, or drop the subscriptions",
    ),
    "unicode_dependent_rels.txt": (
        "relations that depend on the version of Unicode, which differs",
        "REINDEX them after the upgrade",
    ),
}


def worded(reports: Dict[str, List[str]]) -> List[str]:
    """pg_upgrade's reports in sentences; the errors in its logs only if it left no report. Pure.

    They hold one that means nothing: over a running server's lock file it learns that this is a live check.
    """
    found = []
    lists = {file: lines for file, lines in reports.items() if file.endswith(".txt")}
    for file, lines in (lists or reports).items():
        what, do = REPORTS.get(file, ("", ""))
        # Of libraries the databases stand below; of all else above.
        told = "; ".join(lines if file == "loadable_libraries.txt" else _with_databases(lines))
        found.append(f"{file}, {what}: {told} -- {do}" if what else f"{file}: {told}")
    return found


def _with_databases(lines: List[str]) -> List[str]:
    """Each line that a heading "In database: x" stands over with that database in front."""
    database, found = "", []
    for line in lines:
        heading = re.fullmatch(r"In database: (.+)", line)
        if heading:
            database = f"{heading[1]}: "
        else:
            found.append(f"{database}{line}")
    return found


def _runs(kept: Path) -> Set[str]:
    return {run.name for run in kept.glob("*/")} if kept.exists() else set()


def _pg_upgrade(sight: Sight) -> List[str]:
    must_be_standby(sight)
    must_be_installed(sight)
    must_have_new_cluster(sight)
    server = sight.whole_server
    # From 15 on each run leaves its reports in a folder; an older run's are not this one's. Before, what it says names them.
    kept = server.path(f"{pg_upgrade.WORK_FOLDER}/check/pg_upgrade_output.d")
    before = _runs(kept)
    try:
        pg_upgrade.check_standby(server, sight.postgres, sight.new, sight.desired["transferMode"])
    except Refusal as refused:
        reports = pg_upgrade.reports_of(kept) if _runs(kept) - before else {}
        return few(worded(reports)) or [refused.found]
    return []


CHECKS = (
    Check(
        name=CheckName.PG_UPGRADE,
        severity=Severity.REFUSE,
        sides=(Side.TARGET,),
        why="pg_upgrade would refuse in the window what its --check refuses now",
        do="mend on the old primary what its reports list (each says how); DB_A has it as soon as it has replayed it",
        look=_pg_upgrade,
        long=True,
    ),
)
