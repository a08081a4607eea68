"""All checks that are made on a server, in the order in which they are told."""

from __future__ import annotations

from typing import List, Tuple

from agent.check_names import CheckName
from agent.checks import activity, bystanders, containers, hosts, managers, names, pgbouncer, reach
from agent.checks.check import Check, Result, Side, make
from agent.checks.sight import Sight

MODULES = (activity, managers, bystanders, hosts, names, containers, pgbouncer, reach)
_ORDER = list(CheckName)
ALL: Tuple[Check, ...] = tuple(
    sorted((check for module in MODULES for check in module.CHECKS), key=lambda check: _ORDER.index(check.name))
)


def made(sight: Sight) -> List[Result]:
    """The results of every check for this server's side."""
    side = Side(sight.desired["side"])
    return [make(check, sight) for check in ALL if side in check.sides]
