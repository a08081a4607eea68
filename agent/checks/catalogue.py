"""All checks that are made on a server, in the order in which they are told."""

from __future__ import annotations

from typing import List, Tuple

from agent.checks import activity, bystanders, containers, hosts, managers, names, pgbouncer, reach
from agent.checks.check import Check, Result, Side, make
from agent.checks.sight import Sight

ALL: Tuple[Check, ...] = (
    *managers.CHECKS,
    *bystanders.CHECKS,
    *activity.CHECKS,
    *hosts.CHECKS,
    *names.CHECKS,
    *containers.CHECKS,
    *pgbouncer.CHECKS,
    *reach.CHECKS,
)


def made(sight: Sight) -> List[Result]:
    """The results of every check for this server's side."""
    side = Side(sight.desired["side"])
    return [make(check, sight) for check in ALL if side in check.sides]
