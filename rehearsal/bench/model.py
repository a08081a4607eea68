"""What the bench found, as rehearsal/bench/results.json keeps it. Pure."""

from __future__ import annotations

from statistics import median

from pydantic import BaseModel, ConfigDict

from rehearsal.report.model import Machine

# The ways that take turns.
FLOOR, WINDOW, THREE_UPS = "floor", "window", "three ups"


class Found(BaseModel):
    """Whatever is kept; nothing beside what is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Outages(Found):
    """How long the clients on the online servers had their writes refused, in seconds: each run, in the order in which they were. `parts`
    are scripts.window's own, the median of each."""

    way: str
    seconds: list[float]
    parts: dict[str, float] = {}

    @property
    def median(self) -> float:
        return median(self.seconds)


class Windows(Found):
    """One shape of data: what was counted on the server, and each way in turn. `writes` acknowledged by all runs, all of them found again."""

    shape: str
    databases: int
    relations: int
    bytes: int
    writes: int
    outages: list[Outages]

    def of(self, way: str) -> Outages:
        """Raises KeyError."""
        return {one.way: one for one in self.outages}[way]

    def ratio(self, way: str, floor: str) -> float:
        """How many times as long as the floor, by the medians."""
        return self.of(way).median / self.of(floor).median

    def above(self, way: str, floor: str) -> float:
        """How many seconds longer than the floor, by the medians."""
        return self.of(way).median - self.of(floor).median


class WindowBench(Found):
    """Shapes that were measured on one machine, from one commit, with as many runs each."""

    machine: Machine
    commit: str | None
    runs: int
    shapes: list[Windows]

    def after(self, kept: WindowBench | None) -> WindowBench:
        """This, and before it those shapes of what was kept that are of the same machine, commit and runs: others say nothing beside it."""
        if kept is None or (kept.machine, kept.commit, kept.runs) != (self.machine, self.commit, self.runs):
            return self
        fresh = {one.shape for one in self.shapes}
        stay = [one for one in kept.shapes if one.shape not in fresh]
        return self.model_copy(update={"shapes": [*stay, *self.shapes]})
