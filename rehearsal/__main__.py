"""The lab and the rehearsal by hand: python -m rehearsal rehearse | trials | bench | lab | lab-down | inside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rehearsal import asked, stage, table
from rehearsal import rehearse as rehearsing
from rehearsal.bench import bench as benching
from rehearsal.bench.bench import Part
from rehearsal.bench.shapes import SHAPES
from rehearsal.data import restore
from rehearsal.drill import drill as drilling
from rehearsal.engine.engine import EngineMissingError
from rehearsal.engine.project import CommandFailedError
from rehearsal.lab import inside
from rehearsal.lab.fleet import ORDINARY
from rehearsal.lab.place import REPOSITORY, LabError, Place, Report
from rehearsal.report import gather
from rehearsal.shape import Shape, for_drill, from_file
from rehearsal.stage import Wanted
from rehearsal.trials import seen, trials

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
out = Console(highlight=False)

Config = Annotated[
    Path | None, typer.Option("--config", help="a stack's own config, Pulumi.<stack>.yaml: the fleet gets its shape")
]
Data = Annotated[
    str | None, typer.Option(help="how much data: databases=20,relations=8000,rows=50000,scale=10,large-objects=2000")
]
Traffic = Annotated[
    str | None,
    typer.Option(help="how much traffic on each web server: reads=50,writes=20 a second, clients=6, documents=5"),
]
Schemas = Annotated[
    list[str] | None,
    typer.Option("--schema-from", help="a file of `pg_dump --schema-only`, or database=FILE; as often as wanted"),
]
Drill = Annotated[
    bool,
    typer.Option(
        "--drill",
        help="practise each way back and each fault too, on a second fleet, for the same report; it lasts long",
    ),
]

REPORT = REPOSITORY / "rehearsal-report"
BY_HAND = """
The fleet is up, with traffic on it, in phase prepare (not yet done). In this folder:

    source .lab/env
    pulumi preview --diff          # what each server will be told
    pulumi up                      # prepare: {target}, DB_A, becomes a standby
    pulumi config set phase readonly
    pulumi up                      # the fence; then upgrade, cutover, replicas, retire
    ssh -F .lab/ssh/config {web}    # look around

To go back from readonly or upgrade: pulumi up --config phase=prepare --config round=2
`make lab-down` removes every trace of it.
"""


@app.command()
def rehearse(
    config: Config = None,
    data: Data = None,
    traffic: Traffic = None,
    schema_from: Schemas = None,
    drill: Drill = False,
) -> None:
    """Boot the fleet, take it from prepare to retire under traffic, judge, take it down, and write rehearsal-report/."""
    with _reported() as report:
        shape = from_file(config) if config else Shape(ORDINARY)
        wanted = _wanted(shape, data, traffic, schema_from)
        drilled_shape = for_drill(shape) if drill else shape
        for_the_drill = _wanted(drilled_shape, data, traffic, schema_from)
        judged = rehearsing.whole(
            wanted, shape.said, lambda line: out.print(line, markup=False, soft_wrap=True), report
        )
        table.show(judged, out)
        drilled = drilling.whole(for_the_drill, drilled_shape.said, report) if drill else None
        if drilled:
            drilling.show(drilled, out)
        report(f"The report: {gather.write(judged, drilled, REPORT)}")
    if judged.complaints() or (drilled and drilled.complaints()):
        raise typer.Exit(1)


@app.command()
def lab(config: Config = None, data: Data = None, traffic: Traffic = None, schema_from: Schemas = None) -> None:
    """Boot the fleet with its traffic, and leave it running."""
    with _reported() as report:
        shape = from_file(config) if config else Shape(ORDINARY)
        wanted = _wanted(shape, data, traffic, schema_from)
        stage.set_up(Place(), wanted, report, "hand")
    for line in shape.said:
        out.print(line, markup=False, soft_wrap=True)
    target, web = wanted.fleet.target.name, wanted.fleet.online[0]
    out.print(BY_HAND.format(target=target, web=web), markup=False)


@app.command("trials")
def on_trial(
    windows: Annotated[
        int, typer.Option(min=1, help="So many of each shape that is held out: their median counts.")
    ] = 1,
) -> None:
    """Hold forecasts against windows on data of several shapes; writes docs/forecast.json and the table of docs/forecast.md."""
    with _reported() as report:
        found = trials.whole(report, windows)
        seen.write(found)
        for complaint in found.complaints():
            out.print(complaint, style="red", markup=False, soft_wrap=True)
    if found.complaints():
        raise typer.Exit(1)


@app.command()
def bench(
    runs: Annotated[int, typer.Option(min=1, help="How often each is measured: the median counts.")] = 5,
    only: Annotated[list[Part] | None, typer.Option(help="This part alone; more than once.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option(help="Windows on this shape of data alone; more than once.")
    ] = None,
) -> None:
    """Measure pgleap beside an expert by hand and beside other tools; writes rehearsal/bench/results.json and docs/performance.md."""
    wanted = [one for one in SHAPES if not shape or one.name in shape]
    if not wanted:
        out.print(f"Expected one of: {', '.join(one.name for one in SHAPES)}.", style="red", markup=False)
        raise typer.Exit(2)
    with _reported() as report:
        benching.measure(only or list(Part), wanted, runs, report)


@app.command("lab-down")
def lab_down() -> None:
    """Remove every trace of the lab, also after a crash."""
    with _reported() as report:
        removed = stage.take_down(Place())
        report(f"removed {', '.join(removed)}" if removed else "there was no lab: nothing to remove")


@app.command("inside")
def run_inside(command: Annotated[list[str], typer.Argument(help="the command, after --")]) -> None:
    """Run a command inside the servers' image, which has both PostgreSQL versions; nothing of it is left but its exit status."""
    with _reported() as report:
        inside.enter(command, report)


def _wanted(shape: Shape, data: str | None, traffic: str | None, schemas: list[str] | None) -> Wanted:
    """What was asked for, checked before anything boots; the command line's word counts more than the config's. Raises LabError."""
    size = asked.size(data) if data else asked.size(shape.data, asked.DATA_KEY)
    mix = asked.mix(traffic) if traffic else asked.mix(shape.traffic, asked.TRAFFIC_KEY)
    dumps = asked.dumps(schemas or [], size)
    for dump in dumps:
        restore.read(dump)
    return Wanted(shape.fleet, size, mix, asked.connections(mix, shape.fleet), dumps)


@contextmanager
def _reported() -> Iterator[Report]:
    """Progress with the seconds since the start; what went wrong in plain words, and exit status 1."""
    began = time.monotonic()

    def report(sentence: str) -> None:
        out.print(f"{time.monotonic() - began:7.1f} s  {sentence}", style="cyan", markup=False, soft_wrap=True)

    try:
        yield report
    except (LabError, EngineMissingError, CommandFailedError) as error:
        out.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


app()
