"""Verb `client-gate`: who gets into a database server. Each side's gate has a room of its own; both are decided by the journals,
never by the phase's name alone."""

from __future__ import annotations

from typing import Any, Mapping

from agent import old_primary_gate, target_gate
from agent.cluster import from_desired
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Facts
from agent.server import Server
from agent.states import Gate


def client_gate(desired: Mapping[str, Any], server: Server) -> Facts:
    """Bring one database server's gate to `gate`. `side` says which of the two it is, `otherSide` how the other is reached."""
    cluster = from_desired(desired["postgres"])
    postgres = Postgres(server, cluster, desired["address"])
    other = OtherSide.from_desired(desired["otherSide"], server, cluster.program("psql"))
    gate = Gate(desired["gate"])
    if desired["side"] == "DB_A":
        return target_gate.bring(gate, desired, postgres, other)
    return old_primary_gate.bring(gate, desired, postgres, other)
