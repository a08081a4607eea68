"""The forecast of a window: by part and whole, the median and the bad case, and what that rests on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.forecast import prior
from scripts.forecast.model import Measured, amounts, fit
from scripts.forecast.parts import phase_of
from scripts.forecast.run import Run, Shape

PHASES = ("readonly", "cutover")
# A run in which one of these was otherwise counts half as much; two, a quarter.
UNLIKE = 0.5
# A rehearsal on the true data: what its relations and databases are like, and no count tells, is as it will be in the window.
TRUE_DATA = 20.0
# A machine with more than twice the memory is another one.
MEMORY_FACTOR = 2.0
# Amounts that were never seen so large are named from this factor on.
BEYOND = 1.5
COUNTED = {
    "databases": "databases, template1 among them",
    "relations": "relations",
    "large_objects": "large objects",
    "servers": "servers",
}


@dataclass(frozen=True)
class Part:
    """A part of the outage, in seconds."""

    name: str
    median: float
    bad: float


@dataclass(frozen=True)
class Forecast:
    """`runs` is how many windows it rests on, `alike` how many of them were of this kind: versions, transfer mode and DB_A's machine.
    `beyond` are sentences on what no run had so much of; `true_data` how many were rehearsals on the true data."""

    parts: tuple[Part, ...]
    shape: Shape
    runs: int
    alike: int
    beyond: tuple[str, ...]
    true_data: int = 0

    @property
    def median(self) -> float:
        """Seconds that writes are refused: as often longer as shorter."""
        return sum(part.median for part in self.parts)

    @property
    def bad(self) -> float:
        """The parts' bad cases together: as if each had its worst night of ten in the same night."""
        return sum(part.bad for part in self.parts)

    def of(self, phase: str) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if phase_of(part.name) == phase)

    def left(self, phase: str, spent: Mapping[str, float], done: frozenset[str]) -> float:
        """Seconds that are left, in the median, while `phase` is gone to. `spent`: by part, of the outage so far; `done`: parts that are
        over. A part that takes longer than it was forecast leaves nothing of itself, and the rest as it was."""
        following = PHASES[PHASES.index(phase) :]
        return sum(
            max(0.0, part.median - spent.get(part.name, 0.0))
            for part in self.parts
            if phase_of(part.name) in following and part.name not in done
        )

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "median": round(self.median, 2),
            "bad": round(self.bad, 2),
            "parts": {part.name: {"median": round(part.median, 2), "bad": round(part.bad, 2)} for part in self.parts},
            "shape": self.shape.model_dump(by_alias=True),
            "runs": self.runs,
            "alike": self.alike,
            "trueData": self.true_data,
            "beyond": list(self.beyond),
        }


def forecast(runs: Sequence[Run], shape: Shape) -> Forecast:
    """How long writes will be refused, for a fleet of this shape."""
    weights = [UNLIKE ** unlike(run.shape, shape) for run in runs]
    now = amounts(shape)
    names = dict.fromkeys(name for run in runs for name in run.parts)
    parts = []
    for name in sorted({*names, *prior.PARTS}, key=_order):
        # What a whole window did not have took no time there.
        measured = [
            Measured(amounts(run.shape), run.parts.get(name, 0.0), weight, TRUE_DATA if run.true_data else 1.0)
            for run, weight in zip(runs, weights, strict=True)
            if name in run.parts or run.ended == "cutover"
        ]
        measured += _trial(name, shape, now)
        model = fit(prior.figures(name), measured)
        parts.append(Part(name, model.median(now), model.bad(now)))
    alike, true_data = sum(weight == 1 for weight in weights), sum(run.true_data for run in runs)
    return Forecast(tuple(parts), shape, len(runs), alike, tuple(_beyond(runs, shape)), true_data)


def _trial(part: str, shape: Shape, now: Mapping[str, float]) -> list[Measured]:
    """The schema trial, as a measurement of the upgrade: on DB_A, of the very definitions. What it does not do is as it is believed."""
    if part != prior.DATABASE or not shape.trial_seconds:
        return []
    rest = sum(each * now[name] for name, each in prior.UPGRADE.items() if name in prior.NOT_TRIED)
    return [Measured(now, shape.trial_seconds + rest, 1.0, TRUE_DATA)]


def unlike(one: Shape, other: Shape) -> int:
    """In how many ways two windows were of different kinds. What is not known differs from nothing."""
    memory = sorted((one.memory_bytes, other.memory_bytes))
    return sum(
        (
            (one.old, one.new) != (other.old, other.new),
            one.transfer_mode != other.transfer_mode,
            bool(one.cores and other.cores) and one.cores != other.cores,
            memory[0] > 0 and memory[1] > MEMORY_FACTOR * memory[0],
        )
    )


def _beyond(runs: Sequence[Run], shape: Shape) -> list[str]:
    found = []
    for key, what in COUNTED.items():
        here, most = getattr(shape, key), max((getattr(run.shape, key) for run in runs), default=0)
        if runs and here > BEYOND * most:
            found.append(f"{here} {what}, and no window so far had more than {most}")
    return found


def _order(part: str) -> tuple[int, int, str]:
    """By phase; within it in the order of the prior, which is the program's."""
    phase = phase_of(part)
    known = prior.PARTS.index(part) if part in prior.PARTS else len(prior.PARTS)
    return PHASES.index(phase) if phase in PHASES else len(PHASES), known, part
