"""All checks that are made by whoever sees all servers, in the order of their names."""

from __future__ import annotations

from agent.check_names import CheckName
from scripts.preflight import balance, copies, engine_state, minor_releases, ways
from scripts.preflight.outcome import FleetCheck

ALL: tuple[FleetCheck, ...] = tuple(
    sorted(
        (*ways.CHECKS, *copies.CHECKS, *minor_releases.CHECKS, *balance.CHECKS, *engine_state.CHECKS),
        key=lambda check: list(CheckName).index(check.name),
    )
)
