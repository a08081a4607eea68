"""Where DB_A will archive to, beside where the old primary does."""

from __future__ import annotations

import re
from typing import List, Optional, Set

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight

STANZA = re.compile(r"--stanza[= ]\s*([^\s\"';&|]+)")
PLACE = re.compile(r"(?:[a-z0-9]+://|(?<![\w./-])/|(?<=[=\s\"':])/)[^\s\"';&|<>]+")
# Where programs, devices, logs and locks are; and whom one is there, which two archives of one place may have in common.
NO_PLACE = ("/usr/", "/bin/", "/sbin/", "/opt/", "/dev/", "/var/log/", "/run/", "/var/run/", "/var/lock/")
BESIDE = re.compile(r"/\.(ssh|aws|azure|config/gcloud)/|/\.(pgpass|s3cfg|boto)$|\.(log|lock|pid)$")


def _to(sight: Sight) -> Optional[str]:
    """How the old primary archives; None if it does not."""
    settings = sight.settings()
    if settings["archive_mode"] == "off":
        return None
    return settings.get("archive_library") or settings["archive_command"] or None


def places(command: str) -> Set[str]:
    """What a command names as its destination: pgBackRest's stanza, else folders, URLs and files that say where to. Pure."""
    stanzas = STANZA.findall(command)
    if stanzas:
        return {f"stanza {stanza}" for stanza in stanzas}
    named = {re.split(r"/?%[fp]", place)[0].rstrip("/") for place in PLACE.findall(command)}
    return {place for place in named if place and not place.startswith(NO_PLACE) and not BESIDE.search(place)}


def _archive(sight: Sight) -> List[str]:
    theirs, ours = _to(sight), sight.desired["archiveCommand"]
    if theirs is None or not ours:
        return []
    if theirs.split() == ours.split():
        return [f"archiveCommand is the old primary's archive_command, {theirs!r}"]
    return [
        f"archiveCommand and the old primary's archive_command both name {place}"
        for place in sorted(places(theirs) & places(ours))
    ]


def _archive_missing(sight: Sight) -> List[str]:
    theirs = _to(sight)
    if theirs is None or sight.desired["archiveCommand"]:
        return []
    return [f"the old primary archives ({theirs!r}), and the stack names no archiveCommand for DB_A"]


CHECKS = (
    Check(
        name=CheckName.ARCHIVE,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="two histories in one archive make it useless for both, and the way back writes there too",
        do="name a folder, bucket prefix or stanza of the new version's own in postgres.archiveCommand",
        look=_archive,
    ),
    Check(
        name=CheckName.ARCHIVE_MISSING,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="from cutover on nothing that is written could be restored to a point in time",
        do="name an archive of DB_A's own in postgres.archiveCommand, and take a base backup of DB_A after cutover",
        look=_archive_missing,
    ),
)
