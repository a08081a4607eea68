"""The whole bench: its parts one after the other, what they found kept in results.json and told on docs/performance.md."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from rehearsal.bench import page, windows
from rehearsal.bench.files import PAGE, README, RESULTS
from rehearsal.bench.fleets.found import Fleets
from rehearsal.bench.fleets.measure import measure as measure_fleets
from rehearsal.bench.fleets.table import table as fleets_table
from rehearsal.bench.goals import Goal, goals
from rehearsal.bench.goals import table as goals_table
from rehearsal.bench.hosts_files.bench import measure as measure_hosts_files
from rehearsal.bench.hosts_files.figures import HostsFiles
from rehearsal.bench.hosts_files.table import table as hosts_files_table
from rehearsal.bench.model import WindowBench
from rehearsal.bench.ratios import Ratios, ratios
from rehearsal.bench.shapes import Shape
from rehearsal.lab.place import Report


class Part(StrEnum):
    """What can be measured by itself."""

    WINDOWS = "windows"
    HOSTS_FILES = "hosts-files"
    FLEETS = "fleets"


class Results(BaseModel):
    """What each part found; None for one that was never measured."""

    model_config = ConfigDict(extra="forbid")

    goals: list[Goal] = []
    ratios: Ratios = Ratios(windows={}, hosts_files={})
    windows: WindowBench | None = None
    hosts_files: HostsFiles | None = None
    fleets: Fleets | None = None

    def summed_up(self) -> Results:
        """With the goals and ratios that its parts come to."""
        return self.model_copy(
            update={
                "goals": goals(self.windows, self.hosts_files, self.fleets),
                "ratios": ratios(self.windows, self.hosts_files),
            }
        )

    def tables(self) -> dict[str, list[str]]:
        """The page's tables, of what there is; below each what it was measured on."""
        found: dict[str, list[str]] = {}
        if self.goals:
            found["goals"] = goals_table(self.goals)
        if self.windows is not None:
            found[Part.WINDOWS] = [*page.windows(self.windows), *_measured_on(self.windows)]
        if self.hosts_files is not None:
            found[Part.HOSTS_FILES] = [*hosts_files_table(self.hosts_files), *_measured_on(self.hosts_files)]
        if self.fleets is not None:
            found[Part.FLEETS] = [*fleets_table(self.fleets), *_measured_on(self.fleets)]
        return found

    def sentences(self) -> dict[str, list[str]]:
        """README's, of what there is."""
        return {"summary": page.summary(self.windows)} if self.windows is not None else {}


def _measured_on(part: WindowBench | HostsFiles | Fleets) -> list[str]:
    machine = part.machine
    return [
        "",
        f"Measured on {machine.cores} cores ({machine.processor}), {machine.memory / 2**30:.0f} GiB, {machine.system}; commit {part.commit}.",
    ]


def kept(file: Path = RESULTS) -> Results:
    """What was found last; nothing where there is no file. Raises pydantic.ValidationError."""
    return Results.model_validate_json(file.read_text(encoding="utf-8")) if file.exists() else Results()


def measure(
    parts: Collection[Part], shapes: Sequence[Shape], runs: int, report: Report, file: Path = RESULTS
) -> Results:
    """Measure these parts; each is kept as soon as it is there, as is each shape of data, which takes a quarter of an hour: a run that
    fails later has not lost it. The others stay as they were. Raises LabError, CommandFailedError."""
    found = kept(file)
    for part in Part:
        if part not in parts:
            continue
        report(f"the bench: {part}, {runs} runs each")
        if part is Part.WINDOWS:
            for measured in windows.measure(shapes, runs, report):
                found.windows = measured.after(found.windows)
                found = _written(found, file)
        elif part is Part.HOSTS_FILES:
            found.hosts_files = measure_hosts_files(runs, report)
        else:
            found.fleets = measure_fleets(runs, report)
        found = _written(found, file)
    return found


def _written(found: Results, file: Path) -> Results:
    whole = found.summed_up()
    page.write(whole, file, {PAGE: whole.tables(), README: whole.sentences()})
    return whole
