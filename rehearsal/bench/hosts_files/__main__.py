"""This part of the bench alone: python -m rehearsal.bench.hosts_files --runs 1 --hosts 10 --hosts 40."""

from __future__ import annotations

import os
import signal
import time
from typing import Annotated, Any

import typer
from rich.console import Console

from rehearsal.bench.hosts_files import bench, light
from rehearsal.bench.hosts_files.table import table
from rehearsal.engine.engine import EngineMissingError
from rehearsal.engine.project import CommandFailedError
from rehearsal.lab.place import LabError, Place

LAST_LETTERS = 3000

app = typer.Typer(add_completion=False, help=__doc__)
_console = Console(stderr=True, highlight=False)


@app.command()
def main(
    runs: Annotated[int, typer.Option(min=1, help="how often each tool does it")] = 5,
    hosts: Annotated[
        list[int] | None, typer.Option(min=1, max=1000, help="on so many hosts; as often as wanted")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="only remove what a run that died has left")] = False,
) -> None:
    """Measure, and print the table."""
    # As on an operator's machine: see the Makefile.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, _as_interrupt)
    began = time.monotonic()

    def report(sentence: str) -> None:
        _console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {sentence}", soft_wrap=True)

    try:
        if remove:
            removed = light.down(Place(light.FOLDER))
            report(f"Removed {', '.join(removed)}" if removed else "There was nothing to remove")
            return
        found = bench.measure(runs, report, hosts or bench.COUNTS)
    except (LabError, CommandFailedError, EngineMissingError) as error:
        # What an engine says of two hundred hosts is long, and what matters stands at its end.
        _console.print(str(error)[-LAST_LETTERS:], style="red", soft_wrap=True, markup=False)
        raise typer.Exit(1) from error
    typer.echo("\n".join(table(found)))


def _as_interrupt(*_: Any) -> None:
    """What comes up is taken down as after a ^C."""
    raise KeyboardInterrupt


app()
