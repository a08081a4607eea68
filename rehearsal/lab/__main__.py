"""The lab by hand: python -m rehearsal.lab up | down | databases | ssh-config | packages."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from rehearsal.lab import databases, keys, lab, packages
from rehearsal.lab.down import down as take_down
from rehearsal.lab.place import LabError, Place, Report

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The lab of real servers.")
_console = Console(stderr=True, highlight=False)


@app.command()
def up() -> None:
    """Boot the fleet."""
    with _reported() as report:
        lab.up(Place(), report)


@app.command()
def down() -> None:
    """Remove every trace of the lab, also after a crash."""
    with _reported() as report:
        removed = take_down(Place())
        report(f"Removed {', '.join(removed)}" if removed else "There was no lab; nothing to remove")


@app.command("databases")
def make_databases() -> None:
    """Make the primary and its replicas on a fleet that is up."""
    with _reported() as report:
        fleet = lab.opened(Place())
        databases.make_primary(fleet)
        report("The primary is there")
        databases.make_replicas(fleet)
        report("Its replicas stream")


@app.command("packages")
def install_packages() -> None:
    """Install what the lab needs from the machine."""
    with _reported() as report:
        packages.install(report)


@app.command()
def ssh_config() -> None:
    """Print the path of the file that `ssh -F` wants."""
    typer.echo(keys.config(Place()))


@contextmanager
def _reported() -> Iterator[Report]:
    """Progress with the seconds since the start; an error in one line and exit status 1."""
    began = time.monotonic()

    def report(sentence: str) -> None:
        _console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {sentence}", soft_wrap=True)

    try:
        yield report
    except LabError as error:
        _console.print(f"[red]{error}[/red]", soft_wrap=True)
        raise typer.Exit(1) from error


app()
