"""Extensions: whether the new version has them, from which version to which they go, and what has to be done with some first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.each_database import by_database, in_each
from agent.checks.sight import Sight
from agent.checks.upgrade_target import must_be_standby, share_folder
from agent.checks.wording import few, listed

INSTALLED = "SELECT extname AS name, extversion AS version FROM pg_extension ORDER BY extname"

# In contrib no more from this version on; their functions keep a library that is gone (release notes, "Migration to Version 17").
GONE = {"adminpack": 17, "old_snapshot": 17}

# What their own documentation wants done before pg_upgrade:
# timescaledb: "Upgrade PostgreSQL", docs.timescale.com; citus: "Upgrading Citus", docs.citusdata.com; postgis: "Upgrading PostGIS",
# postgis.net; pg_repack: "Installation", reorg.github.io/pg_repack; repmgr: "pg_upgrade and repmgr", repmgr.org.
FIRST = {
    "timescaledb": "install the same TimescaleDB for the new version: its library is named after its own version",
    "citus": "run citus_prepare_pg_upgrade() before and citus_finish_pg_upgrade() after, on each node",
    "pg_repack": "drop it before and create it after: it has no update from one version to another",
    "repmgr": "have the same repmgr for both versions",
}
POSTGIS = "update it here to PostGIS 3 first: the library of older ones is named after their minor version"


class Available(NamedTuple):
    """An extension as the new version's files have it: `steps` are its update scripts, from one version to another."""

    default: str
    steps: Dict[Tuple[str, str], Path]

    def path(self, version: str) -> Optional[List[Path]]:
        """The scripts that lead from a version to the default one, the fewest there are; None if none do."""
        came: Dict[str, List[Path]] = {version: []}
        fresh = [version]
        while fresh and self.default not in came:
            reached = {
                to: [*came[since], script]
                for (since, to), script in self.steps.items()
                if since in fresh and to not in came
            }
            came.update(reached)
            fresh = list(reached)
        return came.get(self.default)


def available(folder: Path, names: Iterable[str]) -> Dict[str, Available]:
    """Those of these extensions that a share folder has (documentation, "Extension Files"). Of the others, dozens in any installation,
    nothing is read."""
    found = {}
    for name in sorted(names):
        control = folder / "extension" / f"{name}.control"
        if not control.is_file():
            continue
        said = dict(re.findall(r"^\s*(\w+)\s*=\s*'?([^'\n]*)'?", control.read_text(errors="replace"), re.MULTILINE))
        scripts = folder / said.get("directory", "extension")
        parts = [(script.stem.split("--")[1:], script) for script in scripts.glob(f"{name}--*--*.sql")]
        steps = {(part[0], part[1]): script for part, script in parts if len(part) == 2}
        found[name] = Available(said.get("default_version", "").strip(), steps)
    return found


def _seen(sight: Sight) -> Tuple[Dict[str, List[str]], Dict[str, Available], str]:
    """What is installed ("name version" -> databases), what the new version has of it, and where."""
    must_be_standby(sight)
    share = share_folder(sight)
    rows = [{**row, "both": f"{row['name']} {row['version']}"} for row in in_each(sight, INSTALLED)]
    there = available(sight.server.path(share), {row["name"] for row in rows})
    return by_database(rows, "both"), there, f"{share}/extension"


def _missing(sight: Sight) -> List[str]:
    installed, there, folder = _seen(sight)
    return few(
        [
            f"{both} (in {listed(databases)}): no {both.split(' ')[0]}.control in {folder}"
            for both, databases in installed.items()
            if both.split(" ")[0] not in there
        ]
    )


def _changes(sight: Sight, leads: bool) -> List[str]:
    """Those of which the new version has another one, to which its scripts lead or do not."""
    installed, there, _ = _seen(sight)
    found = []
    for both, databases in installed.items():
        name, version = both.split(" ", 1)
        new = there.get(name)
        if new is not None and new.default and version != new.default and (new.path(version) is not None) is leads:
            found.append(f"{both} -> {new.default} (in {listed(databases)})")
    return few(found)


def _updates(sight: Sight) -> List[str]:
    return _changes(sight, leads=True)


def _without_path(sight: Sight) -> List[str]:
    return _changes(sight, leads=False)


# Views of the fleet's own on an extension's views and functions: a script that drops and makes those again fails over them.
DEPENDENTS = """SELECT DISTINCT e.extname AS extension, coalesce(mc.relname, mp.proname)::text AS member, r.ev_class::regclass::text AS view
FROM pg_extension e JOIN pg_depend m ON m.refclassid = 'pg_extension'::regclass AND m.refobjid = e.oid AND m.deptype = 'e'
LEFT JOIN pg_class mc ON m.classid = 'pg_class'::regclass AND mc.oid = m.objid
LEFT JOIN pg_proc mp ON m.classid = 'pg_proc'::regclass AND mp.oid = m.objid
JOIN pg_depend d ON d.refclassid = m.classid AND d.refobjid = m.objid AND d.classid = 'pg_rewrite'::regclass AND d.deptype = 'n'
JOIN pg_rewrite r ON r.oid = d.objid
WHERE NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = r.ev_class AND o.deptype = 'e'
  AND o.refobjid = e.oid)
ORDER BY 3, 2"""
DROPS = re.compile(
    r"^\s*DROP\s+(?:VIEW|FUNCTION)\s+(?:IF\s+EXISTS\s+)?(?:\w+\.)?\"?(\w+)", re.MULTILINE | re.IGNORECASE
)


def _dependents(sight: Sight) -> List[str]:
    installed, there, _ = _seen(sight)
    dropped: Dict[Tuple[str, str], Set[str]] = {}
    for both, databases in installed.items():
        name, version = both.split(" ", 1)
        new = there.get(name)
        scripts = new.path(version) if new is not None and new.default else None
        names = {drop for script in scripts or [] for drop in DROPS.findall(script.read_text(errors="replace"))}
        dropped.update({(database, name): names for database in databases})
    return few(
        [
            f"{row['database']}: the view {row['view']} on {row['member']} of {row['extension']}"
            for row in in_each(sight, DEPENDENTS)
            if row["member"] in dropped.get((row["database"], row["extension"]), set())
        ]
    )


def _gone(sight: Sight) -> List[str]:
    installed = by_database(in_each(sight, INSTALLED), "name")
    return few(
        [
            f"{name} (in {listed(installed[name])}): PostgreSQL {version} has it no more"
            for name, version in GONE.items()
            if name in installed and sight.old.version < version <= sight.new.version
        ]
    )


def _first(sight: Sight) -> List[str]:
    rows = in_each(sight, INSTALLED)
    installed = by_database(rows, "name")
    found = [f"{name} (in {listed(installed[name])}): {what}" for name, what in FIRST.items() if name in installed]
    old = [row for row in rows if row["name"] == "postgis" and int(row["version"].split(".")[0]) < 3]
    return few([*found, *(f"postgis {row['version']} (in {row['database']}): {POSTGIS}" for row in old)])


CHECKS = (
    Check(
        name=CheckName.EXTENSIONS_MISSING,
        severity=Severity.REFUSE,
        sides=(Side.TARGET,),
        why="pg_upgrade makes every extension again, and fails where the new version does not have it",
        do="install the packages for the new version on DB_A and the new replicas (Debian: apt-get install"
        " postgresql-<new version>-<extension>), or DROP EXTENSION on the old primary",
        look=_missing,
    ),
    Check(
        name=CheckName.EXTENSION_UPDATES,
        severity=Severity.NOTE,
        sides=(Side.TARGET,),
        why="pgleap updates these extensions right after pg_upgrade, before DB_A opens",
        do="read their release notes",
        look=_updates,
    ),
    Check(
        name=CheckName.EXTENSION_PATHS,
        severity=Severity.REFUSE,
        sides=(Side.TARGET,),
        why="ALTER EXTENSION UPDATE, which follows pg_upgrade, fails where no update script leads to the new version's default",
        do="install the version that the old primary has for the new PostgreSQL too, update it on the old primary first, or DROP"
        " EXTENSION there and create it again after cutover",
        look=_without_path,
    ),
    Check(
        name=CheckName.EXTENSION_DEPENDENTS,
        severity=Severity.REFUSE,
        sides=(Side.TARGET,),
        why="the extension's update, which follows pg_upgrade, drops what these views are on, and fails over them",
        do="DROP VIEW on the old primary, and make it again after cutover",
        look=_dependents,
    ),
    Check(
        name=CheckName.EXTENSION_BREAKS,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="pg_upgrade refuses functions whose library the new version does not have",
        do="DROP EXTENSION <name> in these databases on the old primary",
        look=_gone,
    ),
    Check(
        name=CheckName.EXTENSION_FIRST,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="these extensions want something done before pg_upgrade",
        do="do what is said of each, as its own documentation has it",
        look=_first,
    ),
)
