"""The trials: for each shape of data a fleet is booted, and its window is forecast and then done under traffic.

One window says little: on two cores that are one processor's two threads, windows of the same fleet differ by a third. So of each shape that
is held out there can be several, each from the same disks, of which the median counts.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rehearsal import facts, stage
from rehearsal.data.fill import Size
from rehearsal.drill.operator import Operator
from rehearsal.foreseen import ask
from rehearsal.lab import databases
from rehearsal.lab.place import REPOSITORY, LabError, Place, Report
from rehearsal.rehearse import QUIET_SECONDS
from rehearsal.snapshot import Snapshot
from rehearsal.stage import Stage, Wanted
from rehearsal.traffic import install
from rehearsal.traffic.log import read
from rehearsal.traffic.outage import outage
from rehearsal.trials.seen import Seen, Trials, Window
from scripts.forecast.run import Run, kept

FOLDER = REPOSITORY / ".cache" / "trials"


@dataclass(frozen=True)
class Trial:
    """One shape of data. One that is `held_out` is forecast from the others, and teaches none."""

    name: str
    size: Size
    held_out: bool = False


# The shapes that are held out are some times as large in one respect as anything that taught.
TRIALS = (
    Trial("the lab's own", Size()),
    Trial("more relations", Size(extra_tables=400)),
    Trial("more databases", Size(databases=10)),
    Trial("more large objects", Size(large_objects=5_000)),
    Trial("many relations", Size(extra_tables=1_600), held_out=True),
    Trial("many databases", Size(databases=25, extra_tables=100), held_out=True),
    Trial("many large objects", Size(large_objects=40_000), held_out=True),
)


def whole(report: Report, windows: int = 1, folder: Path = FOLDER) -> Trials:
    """All trials, one fleet after another; `windows` of each shape that is held out. Raises LabError, CommandFailedError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    taught = folder / "taught.jsonl"
    taught.touch()
    seen = []
    for number, one in enumerate(TRIALS, 1):
        report(f"{number} of {len(TRIALS)}: {one.name}")
        each = _windows(one, windows if one.held_out else 1, taught, report)
        seen.append(Seen(name=one.name, held_out=one.held_out, windows=each))
        report(f"{one.name}: {seen[-1].median:.1f} s forecast, {seen[-1].refused:.1f} s refused ({seen[-1].off:+.0%})")
    return Trials(machine=facts.machine(), seen=seen)


def _windows(one: Trial, times: int, taught: Path, report: Report) -> list[Window]:
    """The windows of one fleet, each from the same disks. What they took is added to the `taught` ones, unless the shape is held out."""
    place, records = Place(), taught
    if one.held_out:
        records = taught.with_name("held-out.jsonl")
        shutil.copy(taught, records)
    try:
        it = stage.set_up(place, Wanted(size=one.size), report, "trials")
        it.pulumi.configure({"pgleap:windowRecords": str(records)})
        Operator(it).up("prepare").done()
        _settle(it)
        kept = None
        if times > 1:
            install.stop(it.clients)
            kept = Snapshot.take(it, taught.with_name("snapshot"))
        found = []
        for _ in range(times):
            if one.held_out:
                shutil.copy(taught, records)
            if kept is not None:
                kept.bring_back()
                install.start(it.clients)
            found.append(_window(one, it, records, report))
        return found
    finally:
        stage.take_down(place)
        shutil.rmtree(taught.with_name("snapshot"), ignore_errors=True)


def _window(one: Trial, it: Stage, records: Path, report: Report) -> Window:
    foreseen = ask(it)
    time.sleep(QUIET_SECONDS)
    Operator(it).window().end().done()
    time.sleep(QUIET_SECONDS)
    refused = round(_refused(it), 2)
    report(f"{one.name}: {foreseen.median:.1f} s forecast, {refused:.1f} s refused")
    return Window(rests_on=foreseen.runs, median=foreseen.median, bad=foreseen.bad, refused=refused, run=_last(records))


def _settle(it: Stage) -> None:
    """What days do between prepare and a window: autovacuum has been everywhere, and no disk has anything left to write. Here all servers
    share one, onto which four copies of the data were just written."""
    primary = it.lab.host(it.fleet.primary.name)
    primary.run(["vacuumdb", "--all", "--analyze", "--quiet"], user=databases.SUPERUSER)
    databases.psql(primary, "postgres", "CHECKPOINT")
    os.sync()


def _refused(it: Stage) -> float:
    """Seconds for which the clients on the online servers had their writes refused."""
    install.stop(it.clients)
    shutil.rmtree(it.logs, ignore_errors=True)
    install.collect(it.clients, it.logs)
    window = outage(read(it.logs), it.fleet.online).window
    if window is None or window.until is None:
        raise LabError(
            "Expected writes to be refused for a time; found no beginning or no end of it in the clients' logs."
        )
    return window.seconds


def _last(records: Path) -> Run:
    runs, _ = kept([records])
    return runs[-1]
