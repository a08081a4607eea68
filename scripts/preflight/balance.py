"""Whether the drained servers can leave the load balancer and come back, and who is left meanwhile. Pure."""

from __future__ import annotations

from agent.check_names import CheckName
from components.desired import Desire
from components.settings import Server
from scripts.preflight.balancing import balanced
from scripts.preflight.outcome import Fleet, FleetCheck, Outcome, Severity


def _target_groups(fleet: Fleet) -> Outcome:
    desire, outcome = Desire(fleet.settings), Outcome()
    without = [server for server in fleet.settings.drained if not server.target_groups]
    by_command = fleet.settings.load_balancer.commands is not None
    why = (
        "its load balancer is its own commands' to know"
        if by_command
        else "it has no targetGroups in the stack's config"
    )
    outcome.unseen.update({server.name: why for server in without})
    there = balanced(desire)
    if not desire.parts.drained_in_load_balancer:
        outcome.unseen.update({server.name: f"it is out in {desire.phase}" for server in there})
    elif fleet.balancing is None:
        outcome.unseen.update({server.name: "AWS was not asked" for server in there})
    else:
        outcome.looked += fleet.balancing.looked
        outcome.unseen.update(fleet.balancing.unseen)
        for server, sentences in fleet.balancing.wrong.items():
            for sentence in sentences:
                outcome.finds(server, sentence)
    return outcome


def _online_capacity(fleet: Fleet) -> Outcome:
    settings, outcome = fleet.settings, Outcome()
    online, drained = settings.online, settings.drained
    outcome.fine("fleet")
    if not drained:
        return outcome
    outcome.finds(
        "fleet",
        f"{len(online)} of {len(online) + len(drained)} servers ({_names(online)}) stay while {_names(drained)} {'is' if len(drained) == 1 else 'are'} out",
    )
    for name, targets in (fleet.balancing.groups if fleet.balancing is not None else {}).items():
        stay = targets.healthy - targets.leaving
        outcome.finds("fleet", f"{name}: {stay} of {targets.healthy} healthy targets stay while the drained are out")
    return outcome


def _names(servers: tuple[Server, ...]) -> str:
    return ", ".join(server.name for server in servers)


CHECKS = (
    FleetCheck(
        CheckName.TARGET_GROUPS, Severity.REFUSE, ("drained server",),
        "a server that is not healthy in its target group before the window is waited for at its end",
        "see why its health check fails, or register it; mend targetGroups and instanceId in pgleap:servers",
        _target_groups,
    ),
    FleetCheck(
        CheckName.ONLINE_CAPACITY, Severity.NOTE, ("online server",),
        "they carry all requests for as long as the window lasts",
        "choose an hour at which so many are enough, or give more servers the role online",
        _online_capacity,
    ),
)  # fmt: skip
