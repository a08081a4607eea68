"""Reads, and writes if asked, through each database name of the stack from where this runs: `python -m scripts.watch`.

Each name is asked by a client that connects anew for each probe and by one that keeps a connection and tests it first. Who connects is
what libpq finds (PGUSER, PGDATABASE, PGSERVICE, PGPASSFILE). ^C ends it. It writes only what --write-sql says.

Exit status: 0, 1 if anything failed when it was tried last, 2 if nothing could be tried.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from scripts import stack
from scripts.watch import names, table
from scripts.watch.probe import Resolve
from scripts.watch.round import Kept, keeping, once, repeated, tasks
from scripts.window.engine import Engine, EngineError

# Seconds between two looks of the table.
REDRAW = 0.25


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    name: Annotated[
        list[str] | None, typer.Option(help="A name to ask instead of the stack's; more than once.")
    ] = None,
    stack_name: Annotated[str | None, typer.Option("--stack", help="Another stack than the selected one.")] = None,
    by_stack: Annotated[
        bool, typer.Option("--by-stack", help="Go to the addresses that the stack's phase gives the online servers.")
    ] = False,
    database: Annotated[str, typer.Option(help="The database; without it what libpq finds.")] = "",
    write_sql: Annotated[
        str, typer.Option(help="One statement to run, and commit, at each turn; without it nothing is written.")
    ] = "",
    write_name: Annotated[
        list[str] | None, typer.Option(help="Where to write; without it the names that led to the old primary.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds from one probe of a client to its next.")] = 0.5,
    seconds: Annotated[float, typer.Option(min=0, help="End after so long; 0 for never.")] = 0.0,
    once_: Annotated[bool, typer.Option("--once", help="One probe of each, and the table.")] = False,
    json_lines: Annotated[
        Path | None,
        typer.Option(help="Add each operation to this file; FOLDER/<machine>/watch.jsonl is what a report reads."),
    ] = None,
) -> None:
    """Show how reads and writes fare through each database name, from here, and which server answers."""
    try:
        asked, writes, resolve, servers = _places(name, stack_name, by_stack)
        work = tasks(asked, write_name or writes, write_sql, database, resolve)
        with keeping(json_lines) as kept:
            if once_:
                once(work, kept.take)
            else:
                with repeated(work, every, kept.take):
                    _show(kept, servers, seconds)
    except (names.NoNamesError, EngineError, OSError) as error:
        print(f"pgleap: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    console = Console(highlight=False)
    with kept.lock:
        if once_ or not console.is_terminal:
            console.print(table.table(kept.meter, time.time(), servers))
        for line in [*table.errors(kept.meter), *([kept.wrong] if kept.wrong else [])]:
            console.print(line, markup=False, soft_wrap=True)
        raise typer.Exit(1 if kept.meter.failing else 0)


def _places(
    given: list[str] | None, stack_name: str | None, by_stack: bool
) -> tuple[list[str], list[str], Resolve, dict[str, str]]:
    """The names to read and to write through, how they are resolved, and the stack's servers by address. Raises NoNamesError, EngineError."""
    if given and not by_stack:
        names.refuse_unknown(given)
        return given, given, names.by_machine, {}
    settings = stack.read_or_exit(stack_name).settings
    asked = given or list(settings.names)
    servers = {server.address: server.name for server in settings.servers.values()}
    writes = [one for one in asked if settings.names.get(one) == settings.primary.name]
    if by_stack:
        strangers = [one for one in asked if one not in settings.names]
        if strangers:
            raise names.NoNamesError(f"Expected: names of pgleap:names. Found: {', '.join(strangers)}")
        return asked, writes, names.ByStack(settings, Engine(stack.PROJECT, stack_name).config_file()), servers
    names.refuse_unknown(asked)
    return asked, writes, names.by_machine, servers


def _show(kept: Kept, servers: dict[str, str], seconds: float) -> None:
    """The live table, until ^C or for so many seconds. Where there is no terminal there is none."""
    until = time.monotonic() + seconds if seconds else float("inf")
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, transient=not console.is_terminal) as live:
        try:
            while time.monotonic() < until:
                with kept.lock:
                    shown = table.table(kept.meter, time.time(), servers)
                if console.is_terminal:
                    live.update(shown, refresh=True)
                time.sleep(min(REDRAW, max(0.0, until - time.monotonic())))
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    app()
