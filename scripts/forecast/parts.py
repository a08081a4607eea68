"""The parts of an outage: its time, laid out by what it waited for. Pure.

At each moment an outage waits for the step that has been under way for longest; where none is, for the engine. So the parts' sum is
the outage, whatever ran side by side, and no graph of steps has to be known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

ENGINE = "the engine"


@dataclass(frozen=True)
class Span:
    """A part's time: from `began` to `ended`, in seconds of one clock; `part` as `part_name` has it."""

    part: str
    began: float
    ended: float


def part_name(phase: str, step: str, roles: Mapping[str, str]) -> str:
    """What a step is called in every fleet: `cutover: target database`, for db-a-database. `roles`: those of the servers, by name."""
    # Of `db` and `db-a` the longer name is meant.
    for server in sorted(roles, key=len, reverse=True):
        if step.startswith(f"{server}-"):
            kind, sessions, whose = step.removeprefix(f"{server}-").partition("sessions-")
            return f"{phase}: {roles[server]} {kind}{sessions}{roles.get(whose, whose)}"
    return f"{phase}: {step}"


def phase_of(part: str) -> str:
    return part.partition(": ")[0]


def engine_part(phase: str) -> str:
    return f"{phase}: {ENGINE}"


def laid_out(spans: Iterable[Span], since: float, until: float, last_phase: str) -> dict[str, float]:
    """Seconds by part, of the time from `since` to `until`. What no step covers is the engine's, in the phase of the step that comes
    next, or in `last_phase`."""
    ordered = sorted(spans, key=lambda span: span.began)
    marks = {since, until, *(at for span in ordered for at in (span.began, span.ended) if since < at < until)}
    found: defaultdict[str, float] = defaultdict(float)
    for began, ended in pairwise(sorted(marks)):
        under_way = next((span.part for span in ordered if span.began <= began and ended <= span.ended), None)
        if under_way is None:
            following = next((phase_of(span.part) for span in ordered if span.began >= ended), last_phase)
            under_way = engine_part(following)
        found[under_way] += ended - began
    return dict(found)
