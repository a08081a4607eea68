"""The model of one part of an outage: seconds = a + b * relations + c * databases + ..., no coefficient below 0. Pure.

Least squares on what was measured and on what was believed before (prior.py), each as heavy as it is sure: without a run the belief
alone speaks, with a few runs hardly anything of it is left where they speak.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.forecast.prior import LEAST_DOUBT, Figures
from scripts.forecast.run import Shape

# A measurement's own noise, as a standard deviation: a share of it, and never less than what an engine's turn takes.
NOISE_SHARE = 0.1
NOISE_SECONDS = 0.1
ROUNDS = 2000
ENOUGH = 1e-9
# The spread of a part about its model, as the standard deviation of a logarithm: this before any run, and as if so many had shown it.
SPREAD = 0.25
SPREAD_RUNS = 3.0
# Of ten nights, nine are no worse: the normal distribution's 90th percentile, in standard deviations.
BAD = 1.2816


@dataclass(frozen=True)
class Measured:
    """What a part took in one run, and how much that run counts, from 0 to 1. `close`: how many times as near to what is sought its
    amounts are as those of a window like any other."""

    amounts: Mapping[str, float]
    seconds: float
    weight: float
    close: float = 1.0


@dataclass(frozen=True)
class Model:
    """Seconds for one of each amount; `spread` as SPREAD."""

    coefficients: Mapping[str, float]
    spread: float

    def median(self, amounts: Mapping[str, float]) -> float:
        return sum(each * amounts[name] for name, each in self.coefficients.items())

    def bad(self, amounts: Mapping[str, float]) -> float:
        """What nine nights of ten stay below."""
        return self.median(amounts) * math.exp(BAD * self.spread)


def amounts(shape: Shape) -> dict[str, float]:
    """What the parts depend on. pg_upgrade dumps and restores `--jobs` databases at a time, on as many cores: one that has most of the
    relations is waited for alone."""
    lanes = max(1, min(shape.jobs, shape.cores or shape.jobs, shape.databases or 1))
    return {
        "one": 1.0,
        "relations": max(float(shape.most_relations), shape.relations / lanes),
        "databases": shape.databases / lanes,
        "largeObjects": float(shape.large_objects),
        "copiedBytes": float(shape.bytes) if shape.transfer_mode == "copy" else 0.0,
        "servers": float(shape.servers),
    }


def fit(believed: Figures, measured: Sequence[Measured]) -> Model:
    """The coefficients that suit what was measured and what was believed best, one after the other until none changes: what is sought
    has one lowest point, and this leads there."""
    found = dict(believed)
    exact = [one.weight * one.close / (NOISE_SHARE * one.seconds + NOISE_SECONDS) ** 2 for one in measured]
    for _ in range(ROUNDS):
        change = 0.0
        for name, before in believed.items():
            sure = 1 / max(before, LEAST_DOUBT[name]) ** 2
            pull, weight = before * sure, sure
            for one, how in zip(measured, exact, strict=True):
                amount = one.amounts[name]
                rest = one.seconds - sum(found[other] * one.amounts[other] for other in found if other != name)
                pull += how * amount * rest
                weight += how * amount**2
            better = max(0.0, pull / weight)
            change = max(change, abs(better - found[name]) / LEAST_DOUBT[name])
            found[name] = better
        if change < ENOUGH:
            break
    return Model(found, _spread(found, measured))


def _seconds(coefficients: Figures, one: Measured) -> float:
    return sum(each * one.amounts[name] for name, each in coefficients.items())


def _spread(coefficients: Figures, measured: Sequence[Measured]) -> float:
    """How far runs are from the model, on a scale on which twice as long and half as long are equally far."""
    squares, runs = SPREAD_RUNS * SPREAD**2, SPREAD_RUNS
    for one in measured:
        off = math.log((one.seconds + NOISE_SECONDS) / (_seconds(coefficients, one) + NOISE_SECONDS))
        squares += one.weight * off**2
        runs += one.weight
    return math.sqrt(squares / runs)
