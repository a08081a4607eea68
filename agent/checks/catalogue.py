"""All checks that are made on a server, in the order in which they are told.

A module is loaded where its checks are made, and nowhere else: the agent comes as sources, and to compile all of it took each of the
lab's twelve servers 0.35 s of a processor, four seconds for whoever waited (measured; a server of the application takes 0.1 s now).
"""

from __future__ import annotations

import importlib
from typing import AbstractSet, Callable, Dict, List, Optional, Tuple

from agent.check_names import CheckName
from agent.checks.check import Check, Result, Side, make
from agent.checks.sight import Sight

STILL_MADE = "could not be looked at: it was still under way when the answer was due (preflight --deadline)"
# By side: the modules beside this one that have checks for it.
MODULES: Dict[Side, Tuple[str, ...]] = {
    Side.OLD_PRIMARY: (
        "local_login", "versions", "replication", "extensions", "objects", "not_restored", "collations", "build", "catalog_names", "configured", "authentication", "storage", "room", "company",
        "managers", "bystanders", "fence", "archive", "activity", "statements", "reverse", "search_paths", "limits", "reach",
    ),
    Side.OLD_REPLICA: ("local_login", "versions", "replication", "collations", "configured", "room", "managers", "bystanders", "reach", "tls"),
    Side.TARGET: (
        "local_login", "versions", "upgrade_check", "schema_trial", "extensions", "preload", "collations", "build", "settings_check", "room", "managers", "reach", "tls",
    ),
    Side.NEW_REPLICA: ("versions", "collations", "managers", "reach"),
    Side.SERVER: ("hosts", "names", "containers", "pgbouncer", "reach", "tls"),
}  # fmt: skip


def of(*sides: Side) -> Tuple[Check, ...]:
    """The checks that are made on any of these sides."""
    modules = dict.fromkeys(module for side in sides for module in MODULES[side])
    checks = [check for module in modules for check in importlib.import_module(f"agent.checks.{module}").CHECKS]
    order = list(CheckName)
    made_there = [check for check in checks if set(sides) & set(check.sides)]
    return tuple(sorted(made_there, key=lambda check: order.index(check.name)))


def made(
    sight: Sight, without: AbstractSet[CheckName] = frozenset(), ahead: Optional[Callable[[List[Result]], None]] = None
) -> List[Result]:
    """The results of every check for this server's side, but for those of which the caller sees to it himself.

    `ahead` is called while the long ones are still made, with all others, and with a sentence in the place of each that is not there yet.
    """
    checks = [check for check in of(Side(sight.desired["side"])) if check.name not in without]
    long = [check for check in checks if check.long]

    def look(those: List[Check]) -> Dict[CheckName, Result]:
        if those and those[0].long:
            with sight.again() as own:
                return {check.name: make(check, own) for check in those}
        results = {check.name: make(check, sight) for check in those}
        if long and ahead is not None:
            late = {check.name: Result(check, [], STILL_MADE) for check in long}
            ahead([{**late, **results}[check.name] for check in checks])
        return results

    parts = [[check for check in checks if not check.long], *([check] for check in long)]
    results = {name: one for part in sight.server.side_by_side(look, parts, len(parts)) for name, one in part.items()}
    return [results[check.name] for check in checks]
