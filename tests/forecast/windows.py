"""Windows of fleets of every shape, made up by a rule that the forecast does not know."""

from __future__ import annotations

import random
from typing import Any

from scripts.forecast import prior
from scripts.forecast.run import Run, Shape

SMALL = {
    "old": 15, "new": 17, "transfer_mode": "link", "jobs": 2, "databases": 5, "relations": 700, "most_relations": 300, "large_objects": 200,
    "bytes": 10**9, "servers": 12, "online": 2, "cores": 2, "memory_bytes": 8 * 2**30,
}  # fmt: skip


def shape(**other: Any) -> Shape:
    return Shape.model_validate({**SMALL, **other})


def upgrade_seconds(one: Shape) -> float:
    """A machine half as fast as the lab's, whose restore is slower the more relations one database has already."""
    lanes = min(one.jobs, one.databases)
    relations = max(one.most_relations, one.relations / lanes)
    return 11 + 0.0030 * relations + 0.5e-8 * relations**2 + 0.8 * one.databases / lanes + one.large_objects * 0.00008


def run(one: Shape, luck: random.Random, **other: Any) -> Run:
    """A window on it: every part is up to a tenth shorter or longer than its rule."""
    parts = dict.fromkeys(prior.PLAIN, 0.7) | {prior.DATABASE: upgrade_seconds(one)}
    drawn = {name: seconds * luck.uniform(0.9, 1.1) for name, seconds in parts.items()}
    return Run.model_validate({"at": 1.0, "stack": "fleet", "ended": "cutover", "shape": one, "parts": drawn, **other})
