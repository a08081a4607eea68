"""What both client gates share."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from agent.journal import Journal
from agent.postgres import Postgres
from agent.report import Facts, Refusal


def refuse_a_replica(postgres: Postgres) -> None:
    """Raises Refusal if this is no primary."""
    if postgres.in_recovery():
        raise Refusal(
            "a primary on this server", "PostgreSQL is in recovery: it is a replica", "mend pgleap:servers (roles)"
        )


def facts_of(changed: List[str], because: str, own: Journal, slots: Sequence[Dict[str, Any]] = ()) -> Facts:
    """What both gates tell. `slots` are logical ones at the fence, as agent/consumers.py has them: none of them comes along."""
    facts: Facts = {"changed": changed, "because": because, "authority": own.authority.value, "epoch": own.epoch}
    if own.fence:
        facts["fence"] = vars(own.fence)
    if slots:
        facts["logicalSlots"] = list(slots)
    return facts
