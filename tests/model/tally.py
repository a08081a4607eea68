"""How many fleets the model's tests began, and what befell the steps of their moves: told at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

FLEETS = "fleets"
COUNTED: Counter[str] = Counter()


def fleet() -> None:
    """Another fleet was begun."""
    COUNTED[FLEETS] += 1


def befell(verb: str, how: str) -> None:
    """A step of this verb has gone wrong in this way."""
    COUNTED[f"{how}: {verb}"] += 1


def add(counted: Mapping[str, int]) -> None:
    """What another process of the same run has counted."""
    COUNTED.update(counted)


def told() -> list[str]:
    """In lines: all, then for each way in which a step goes wrong how often, and of which verbs."""
    hows = sorted({name.partition(": ")[0] for name in COUNTED if name != FLEETS})
    found = [f"{COUNTED[FLEETS]} fleets were begun"]
    for how in hows:
        of = {name.partition(": ")[2]: number for name, number in COUNTED.items() if name.startswith(f"{how}: ")}
        verbs = ", ".join(f"{verb} {number}" for verb, number in sorted(of.items()))
        found.append(f"a step {how}: {sum(of.values())} ({verbs})")
    return found
