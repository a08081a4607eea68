"""The lab and the rehearsal by hand: python -m rehearsal rehearse | lab | lab-down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from rehearsal import rehearse as rehearsing
from rehearsal import stage, table
from rehearsal.data.fill import Size
from rehearsal.engine.engine import EngineMissingError
from rehearsal.engine.project import CommandFailedError
from rehearsal.lab.place import LabError, Place, Report

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
out = Console(highlight=False)

Rows = Annotated[int, typer.Option(help="customers in the database shop; other tables follow")]
Scale = Annotated[int, typer.Option(help="pgbench's scale")]
Tables = Annotated[int, typer.Option(help="tables beyond those of the schema")]

ORDINARY = Size()
BY_HAND = """
The fleet is up, with traffic on it, in phase prepare (not yet done). In this folder:

    source .lab/env
    pulumi preview --diff          # what each server will be told
    pulumi up                      # prepare: DB_A becomes a standby
    pulumi config set phase readonly
    pulumi up                      # the fence; then upgrade, cutover, replicas, retire
    ssh -F .lab/ssh/config web1    # look around

To go back from readonly or upgrade: pulumi up --config phase=prepare --config round=2
`make lab-down` removes every trace of it.
"""


@app.command()
def rehearse(
    rows: Rows = ORDINARY.rows, scale: Scale = ORDINARY.bench_scale, tables: Tables = ORDINARY.extra_tables
) -> None:
    """Boot the fleet, take it from prepare to retire under traffic, judge, and take it down."""
    with _reported() as report:
        judged = rehearsing.whole(
            Size(rows, scale, tables), lambda line: out.print(line, markup=False, soft_wrap=True), report
        )
        table.show(judged, out)
    if judged.complaints():
        raise typer.Exit(1)


@app.command()
def lab(
    rows: Rows = ORDINARY.rows, scale: Scale = ORDINARY.bench_scale, tables: Tables = ORDINARY.extra_tables
) -> None:
    """Boot the fleet with its traffic, and leave it running."""
    with _reported() as report:
        stage.set_up(Place(), Size(rows, scale, tables), report, "hand")
    out.print(BY_HAND, markup=False)


@app.command("lab-down")
def lab_down() -> None:
    """Remove every trace of the lab, also after a crash."""
    with _reported() as report:
        removed = stage.take_down(Place())
        report(f"removed {', '.join(removed)}" if removed else "there was no lab: nothing to remove")


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
