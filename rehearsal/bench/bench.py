"""The whole bench: its parts one after the other, what they found kept in results.json and told on docs/performance.md."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from rehearsal.bench import page, windows
from rehearsal.bench.fleets.found import Fleets
from rehearsal.bench.fleets.measure import measure as measure_fleets
from rehearsal.bench.fleets.table import table as fleets_table
from rehearsal.bench.hosts_files.bench import measure as measure_hosts_files
from rehearsal.bench.hosts_files.figures import HostsFiles
from rehearsal.bench.hosts_files.table import table as hosts_files_table
from rehearsal.bench.model import WindowBench
from rehearsal.bench.shapes import Shape
from rehearsal.lab.place import Report

FILE = Path(__file__).with_name("results.json")


class Part(StrEnum):
    """What can be measured by itself."""

    WINDOWS = "windows"
    HOSTS_FILES = "hosts-files"
    FLEETS = "fleets"


class Results(BaseModel):
    """What each part found; None for one that was never measured."""

    model_config = ConfigDict(extra="forbid")

    windows: WindowBench | None = None
    hosts_files: HostsFiles | None = None
    fleets: Fleets | None = None

    def tables(self) -> dict[str, list[str]]:
        """The page's tables, of what there is."""
        found: dict[str, list[str]] = {}
        if self.windows is not None:
            found[Part.WINDOWS] = page.windows(self.windows)
        if self.hosts_files is not None:
            found[Part.HOSTS_FILES] = hosts_files_table(self.hosts_files)
        if self.fleets is not None:
            found[Part.FLEETS] = fleets_table(self.fleets)
        return found


def kept(file: Path = FILE) -> Results:
    """What was found last; nothing where there is no file. Raises pydantic.ValidationError."""
    return Results.model_validate_json(file.read_text(encoding="utf-8")) if file.exists() else Results()


def measure(parts: Collection[Part], shapes: Sequence[Shape], runs: int, report: Report, file: Path = FILE) -> Results:
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
                page.write(found, found.tables(), file)
        elif part is Part.HOSTS_FILES:
            found.hosts_files = measure_hosts_files(runs, report)
        else:
            found.fleets = measure_fleets(runs, report)
        page.write(found, found.tables(), file)
    return found
