"""Whether this server gets through to the databases that it will be led to, before it is led there."""

from __future__ import annotations

import os
from typing import Dict, List, Set

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight

SECONDS = 1.0  # within one network a connection takes milliseconds; what a firewall drops never answers
AT_ONCE = 32


def _ports(sight: Sight) -> List[str]:
    port = int(sight.desired["postgres"]["port"])
    wanted = _wanted(sight)
    refusals = sight.server.side_by_side(
        lambda address: sight.server.refusal(address, port, SECONDS), list(wanted.values()), AT_ONCE
    )
    found = []
    for (name, address), error in zip(wanted.items(), refusals):
        # What refuses was reached; the new servers may have no PostgreSQL yet.
        if error is None or (isinstance(error, ConnectionRefusedError) and name not in _listening(sight)):
            continue
        why = os.strerror(error.errno) if error.errno else f"no answer within {SECONDS:g} s"
        found.append(f"port {port} of {name} ({address}): {why}")
    return found


def _wanted(sight: Sight) -> Dict[str, str]:
    """Name -> address of those that this server will connect to."""
    desired, side = sight.desired, Side(sight.desired["side"])
    databases: Dict[str, str] = desired["databases"]
    if side is Side.SERVER:
        return databases
    primary = {desired["primary"]["server"]: desired["primary"]["address"]}
    # The two that may open ask each other, and the old replicas whether they still are some. DB_A is streamed from at the end.
    to = {
        Side.OLD_PRIMARY: {**desired["target"], **desired["replicas"]},
        Side.TARGET: {**primary, **desired["replicas"]},
        Side.OLD_REPLICA: primary,
        Side.NEW_REPLICA: desired["target"],
    }[side]
    return {name: address for name, address in to.items() if name in databases}


def _listening(sight: Sight) -> Set[str]:
    """The old databases."""
    return {sight.desired["primary"]["server"], *sight.desired["replicas"]}


CHECKS = (
    Check(
        name=CheckName.PORTS,
        severity=Severity.REFUSE,
        sides=tuple(Side),
        why="a server whose names lead to a database that it cannot reach reads and writes nothing",
        do="open PostgreSQL's port to it: the database's security group, firewall (nft list ruleset) and listen_addresses",
        look=_ports,
    ),
)
