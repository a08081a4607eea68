"""All checks that are made on a server, in the order in which they are told."""

from __future__ import annotations

from typing import AbstractSet, List, Tuple

from agent.check_names import CheckName
from agent.checks import (
    activity,
    archive,
    authentication,
    build,
    bystanders,
    collations,
    company,
    containers,
    extensions,
    fence,
    hosts,
    managers,
    names,
    objects,
    pgbouncer,
    preload,
    reach,
    replication,
    reverse,
    room,
    settings_check,
    statements,
    storage,
    upgrade_check,
    versions,
)
from agent.checks.check import Check, Result, Side, make
from agent.checks.sight import Sight

MODULES = (
    versions, replication, upgrade_check, extensions, preload, objects, collations, build, settings_check, authentication,
    storage, room, company, managers, bystanders, fence, archive, activity, statements, reverse, hosts, names, containers,
    pgbouncer, reach,
)  # fmt: skip
_ORDER = list(CheckName)
ALL: Tuple[Check, ...] = tuple(
    sorted((check for module in MODULES for check in module.CHECKS), key=lambda check: _ORDER.index(check.name))
)


def made(sight: Sight, without: AbstractSet[CheckName] = frozenset()) -> List[Result]:
    """The results of every check for this server's side, but for those of which the caller sees to it himself."""
    side = Side(sight.desired["side"])
    return [make(check, sight) for check in ALL if side in check.sides and check.name not in without]
