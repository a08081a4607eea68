"""What the trials saw, as docs/forecast.json keeps it, and the table of docs/forecast.md that is made from it. Pure but for `write`."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict

from rehearsal.lab.place import REPOSITORY
from rehearsal.marks import between
from rehearsal.report.model import Machine
from scripts.forecast.run import Run

FILE = REPOSITORY / "docs" / "forecast.json"
PAGE = REPOSITORY / "docs" / "forecast.md"
BEGIN, END = "<!-- trials: made by `make trials` -->", "<!-- end of trials -->"
WITHIN = 0.3
"""How far a forecast may be off where the shape was held out, as a share of what was measured."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Window(_Part):
    """One window. Seconds throughout.

    `median` and `bad` were forecast before it began, from `rests_on` windows; `refused` is how long the clients on the online servers had
    their writes refused; `run` is what scripts.window kept of it.
    """

    rests_on: int
    median: float
    bad: float
    refused: float
    run: Run


class Seen(_Part):
    """All windows of one shape, in the order in which they were. One that was `held_out` taught none of the forecasts here."""

    name: str
    held_out: bool
    windows: list[Window]

    @property
    def median(self) -> float:
        """The median of what was forecast; where the shape was held out, all forecasts rest on the same windows."""
        return median(one.median for one in self.windows)

    @property
    def bad(self) -> float:
        return median(one.bad for one in self.windows)

    @property
    def refused(self) -> float:
        """The median of what was measured."""
        return median(one.refused for one in self.windows)

    @property
    def off(self) -> float:
        """How far the forecast was off, as a share of what was measured: above 0 it was too long."""
        return self.median / self.refused - 1


class Trials(_Part):
    """All shapes in the order in which they were."""

    machine: Machine
    seen: list[Seen]

    def complaints(self) -> list[str]:
        """Which forecasts of shapes that were held out are too far off, in sentences."""
        return [
            f"{one.name}: expected {one.median:.1f} s, within {WITHIN:.0%} of it; found {one.refused:.1f} s"
            for one in self.seen
            if one.held_out and abs(one.off) > WITHIN
        ]


def table(trials: Trials) -> str:
    """The table, in Markdown."""
    rows = [
        "| data | databases | relations | large objects | windows it rests on | forecast | bad case | writes refused, median (each) | off |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in trials.seen:
        shape = one.windows[-1].run.shape
        counts = f"{shape.databases} | {shape.relations:,} | {shape.large_objects:,}"
        name = f"**{one.name}**" if one.held_out else one.name
        rested = sorted({window.rests_on for window in one.windows})
        rests = " and ".join(str(windows) for windows in rested)
        each = ", ".join(f"{window.refused:.1f}" for window in one.windows)
        rows.append(
            f"| {name} | {counts} | {rests} | {one.median:.1f} s | {one.bad:.1f} s | **{one.refused:.1f} s** ({each}) | {one.off:+.0%} |"
        )
    machine = trials.machine
    rows += ["", f"All servers on one machine: {machine.cores} cores, {machine.memory / 2**30:.0f} GiB."]
    return "\n".join(rows)


def with_table(page: str, trials: Trials) -> str:
    """The page with its table made anew. Raises ValueError if it has no place for one."""
    return between(page, PAGE.name, BEGIN, END, [table(trials)])


def read(file: Path = FILE) -> Trials:
    """What was kept. Raises OSError, pydantic.ValidationError."""
    return Trials.model_validate_json(file.read_text(encoding="utf-8"))


def write(trials: Trials, file: Path = FILE, page: Path = PAGE) -> None:
    """Keep it, and make the page's table anew."""
    file.write_text(trials.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    page.write_text(with_table(page.read_text(encoding="utf-8"), trials), encoding="utf-8")
