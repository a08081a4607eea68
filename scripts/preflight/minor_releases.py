"""Whether the new version's minor release is older, by date, than the old one's. Pure.

Minor releases of all supported versions come out on the same days (PostgreSQL's versioning policy, and the announcements since 2020: 18.2,
17.8, 16.12, 15.16 and 14.21 on one day), so from a version's first minor release on both count alike, and no table of dates is needed. The
one that came out alone since 13.1, 14.4 of June 2022, is told below.
"""

from __future__ import annotations

import re

from agent.check_names import CheckName
from scripts.preflight.outcome import Fleet, FleetCheck, Outcome, Severity

# What came out on the day of a version's first minor release: so many minor releases of 13 were out, or would be. From 15.1 = 14.6,
# 16.1 = 15.5, 17.1 = 16.5, 18.1 = 17.7, each on one day.
FIRST = {13: 1, 14: 5, 15: 9, 16: 13, 17: 17, 18: 23}
# 14's fourth came between two days: what comes after it is one day earlier than its number says.
ALONE = (14, 4)


def day(version: str) -> float | None:
    """Which day of minor releases a version such as 17.7 is of, counted from 13.1; halves lie between two. None if nobody can tell: a beta, or
    a major version that this table is older than."""
    match = re.fullmatch(r"(\d+)\.(\d+)", version)
    if match is None:
        return None
    major, minor = int(match[1]), int(match[2])
    if major not in FIRST:
        return None
    if minor == 0:
        return FIRST[major] - 0.5
    if (major, minor) == ALONE:
        return FIRST[major] + minor - 1.5
    late = major == ALONE[0] and minor > ALONE[1]
    return float(FIRST[major] + minor - 1 - late)


def partner(version: str, major: int) -> str:
    """The minor release of `major` that came out with a version; day() of it must be known."""
    wanted = day(version)
    minors = (f"{major}.{minor}" for minor in range(100))
    return next(one for one in minors if (day(one) or 0.0) >= (wanted or 0.0))


def _minor_releases(fleet: Fleet) -> Outcome:
    outcome, settings = Outcome(), fleet.settings
    primary, new = settings.primary.name, settings.versions.new
    said = fleet.said.get(primary)
    runs = said.fact("version") if said is not None else None
    if runs is None:
        outcome.unseen[primary] = f"version: {said.unseen('version') if said is not None else 'it was not asked'}"
        return outcome
    for server in (settings.target, *settings.new_replicas):
        if server.name not in fleet.said:
            continue
        there = fleet.said[server.name].fact("binaries")
        installed = there.get(str(new)) if there is not None else None
        if installed is None:
            outcome.unseen[server.name] = f"PostgreSQL {new} is not installed, or was not seen"
            continue
        before, after = day(str(runs)), day(str(installed))
        if before is None or after is None:
            outcome.unseen[server.name] = f"which of {runs} and {installed} is older is not known here"
            continue
        outcome.fine(server.name)
        if after < before:
            outcome.finds(
                server.name,
                f"{installed} is older than {runs}, which {primary} runs: {partner(str(runs), new)} came out with that",
            )
    return outcome


CHECKS = (
    FleetCheck(
        CheckName.MINOR_RELEASES, Severity.WARN, ("DB_A", "new replica"),
        "an older release of the new version may refuse what a later one of the old version writes, and has faults that are mended in the old"
        " one already",
        "bring the new version's packages up to date on DB_A and on the new replicas, then, in prepare, `pulumi config set round <one higher> &&"
        " pulumi up`: the schema is tried again",
        _minor_releases,
    ),
)  # fmt: skip
