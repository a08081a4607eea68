"""Whether pgleap can write the rules and settings that the window needs, and whether what is in the files is what is in force."""

from __future__ import annotations

from pathlib import Path
from typing import List

from agent import client_rules
from agent.check_names import CheckName
from agent.checks.check import OLD_DATABASES, Check, Severity, Side
from agent.checks.files import irreplaceable
from agent.checks.sight import Sight
from agent.checks.wording import few, listed
from agent.configuration import rules_elsewhere
from agent.report import Refusal

PLACES = "SELECT current_setting('hba_file') AS hba, current_setting('ident_file') AS ident, current_setting('data_directory') AS data"
# Edited after PostgreSQL had read them: whole seconds are all that a file's time has.
EDITED = (
    "SELECT file FROM (SELECT current_setting('hba_file') AS file UNION SELECT current_setting('ident_file')"
    " UNION SELECT current_setting('config_file') UNION SELECT sourcefile FROM pg_file_settings) f"
    " WHERE pg_conf_load_time() < (SELECT greatest(modification, change) FROM pg_stat_file(file, true)) ORDER BY 1"
)


def _real(sight: Sight, absolute: str) -> str:
    """Where a file is, its links followed."""
    root = Path(sight.server.path("/"))
    return f"/{Path(sight.server.path(absolute)).resolve().relative_to(root.resolve())}"


def _rule_files(sight: Sight) -> List[str]:
    places, cluster = sight.row(PLACES), sight.cluster
    found: List[str] = []
    for setting, there, ours in (
        ("hba_file", places["hba"], cluster.hba_file),
        ("ident_file", places["ident"], cluster.ident_file),
    ):
        if _real(sight, there) != _real(sight, ours):
            found.append(f"{setting} is {there}, and pgleap writes {ours}")
            continue
        real = _real(sight, there)
        if not sight.server.path(real).is_file():
            found.append(f"{there} is no file")
            continue
        found += irreplaceable(sight, real)
        try:
            client_rules.split(sight.text(real) or "")
        except Refusal as half:
            found.append(f"{there}: {half.found}")
    return few(found)


def _alter_system(sight: Sight) -> List[str]:
    found = []
    if sight.settings().get("allow_alter_system") == "off":
        found.append("allow_alter_system is off")
    found += irreplaceable(sight, _real(sight, f"{sight.row(PLACES)['data']}/postgresql.auto.conf"))
    return few(found)


def _not_loaded(sight: Sight) -> List[str]:
    found = [f"{row['file']} was edited, and PostgreSQL has not read it since" for row in sight.rows(EDITED)]
    places = sight.row(PLACES)
    for row in sight.rows("SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL ORDER BY 1"):
        found.append(f"line {row['line_number']} of pg_hba.conf: {row['error']}")
    for row in sight.rows("SELECT sourcefile, sourceline, error FROM pg_file_settings WHERE error IS NOT NULL"):
        if "without restarting" not in row["error"] and "could not be applied" not in row["error"]:
            found.append(f"line {row['sourceline']} of {row['sourcefile']}: {row['error']}")
    found += rules_elsewhere(sight.text(places["hba"]) or "", sight.text(places["ident"]) or "")
    return few(found)


def _pending(sight: Sight) -> List[str]:
    names = [row["name"] for row in sight.rows("SELECT name FROM pg_settings WHERE pending_restart ORDER BY 1")]
    return [f"{listed(names, 20)}: set, and in force only after a restart"] if names else []


CHECKS = (
    Check(
        name=CheckName.RULE_FILES,
        severity=Severity.REFUSE,
        sides=OLD_DATABASES,
        why="pgleap's way in, and the seal, are lines in these files: what is not read refuses nobody, what cannot be written fails",
        do="take hba_file and ident_file out of the settings and put the rules beside postgresql.conf (a link to another place is"
        " well), or name that folder in pgleap:postgres; chattr -ia the file; take what is left of a block of pgleap's out",
        look=_rule_files,
    ),
    Check(
        name=CheckName.ALTER_SYSTEM,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="the seal, and the way back from it, set default_transaction_read_only and autovacuum by ALTER SYSTEM",
        do="set allow_alter_system = on until the upgrade is over, and reload; chattr -ia postgresql.auto.conf",
        look=_alter_system,
    ),
    Check(
        name=CheckName.NOT_LOADED,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="DB_A gets what the old primary runs with, and the seal has PostgreSQL read its files: an edit that nobody tried would count from then on",
        do="look at it, then SELECT pg_reload_conf(), or put the file back and reload; write the rules of included files into pg_hba.conf",
        look=_not_loaded,
    ),
    Check(
        name=CheckName.PENDING_RESTART,
        severity=Severity.NOTE,
        sides=(Side.OLD_PRIMARY,),
        why="DB_A gets the value that the old primary runs with, not the one in its file",
        do="restart the old primary before prepare if DB_A is to have the new value, or set it there after the upgrade",
        look=_pending,
    ),
)
