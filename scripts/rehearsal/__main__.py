"""A rehearsal on the real thing: DB_A is made from the real primary, upgraded in earnest, measured, and thrown away.

The primary goes on serving: docs/rehearsal-on-the-real-thing.md. Run it in the project's folder, like pulumi, for a stack with
pgleap:rehearsal. What it took is kept for `scripts.forecast` (windowRecords).

Exit status: 0 it was done and everything is taken away again, 1 it failed and what it made stands, 2 nothing was done.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.states import Phase
from components import rehearsal_plan
from components.config_errors import SettingsError
from components.settings import Settings
from scripts.forecast.run import keep, records
from scripts.rehearsal import figures
from scripts.rehearsal.engine import RehearsalEngine
from scripts.rehearsal.figures import FiguresError
from scripts.window.engine import EngineError

FAILED, NOTHING_DONE = 1, 2


def main(
    stack: Annotated[str | None, typer.Option(help="the stack; without it the one that is selected")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before it begins")] = False,
    keep_copy: Annotated[
        bool,
        typer.Option("--keep-copy", help="leave DB_A as it is in the end, to look at; `pulumi destroy` takes it away"),
    ] = False,
) -> None:
    """Rehearse the upgrade on the true data: base backup, promotion, pg_upgrade, first start, statistics; then destroy."""
    console = Console(highlight=False)
    try:
        engine = RehearsalEngine(Path.cwd(), stack)
        engine.check()
        settings = _settings(engine)
        finished = engine.finished()
        _agreed(settings, console, yes=yes)
    except (EngineError, SettingsError) as error:
        print(f"pgleap: {error}", file=sys.stderr)
        raise typer.Exit(NOTHING_DONE) from None
    # A copy that stands from before is made anew: one that was upgraded cannot be upgraded again.
    round_ = settings.round if finished is None else max(settings.round, finished.round + 1)
    try:
        for phase in (Phase.PREPARE, Phase.UPGRADE):
            console.print(f"[bold]{phase}")
            engine.go(phase, round_)
        found = figures.run(settings, engine.stack, engine.measured(), time.time())
        file = records(settings, engine.project)
        keep(file, found)
        console.print(figures.table(found))
        console.print(figures.amount(found), soft_wrap=True)
        console.print(f"Kept in {file}, for python -m scripts.forecast.", soft_wrap=True)
        if keep_copy:
            console.print(f"DB_A stands. To take it away: pulumi destroy --stack {engine.stack}", soft_wrap=True)
            return
        console.print("[bold]destroy")
        engine.destroy()
    except (EngineError, FiguresError, OSError) as error:
        print(
            f"pgleap: {error}\nThe primary goes on serving. What the rehearsal made stands, to look at; nothing is led to it.\n"
            f"To do: python -m scripts.rehearsal begins anew; pulumi destroy --stack {engine.stack} takes it away",
            file=sys.stderr,
        )
        raise typer.Exit(FAILED) from None


def _settings(engine: RehearsalEngine) -> Settings:
    """Of a stack that is a rehearsal. Raises EngineError, SettingsError."""
    # A phase that a copied config has from its window's stack is no mistake here: this command says where to go.
    settings = Settings.from_config({**engine.config(), "phase": Phase.PREPARE.value})
    if not settings.rehearsal:
        raise EngineError(
            f"Expected: a stack with pgleap:rehearsal true. Found: {engine.stack} without it.\n"
            f"To do: pulumi stack init rehearsal --copy-config-from {engine.stack} && pulumi config set rehearsal true"
        )
    return settings


def _agreed(settings: Settings, console: Console, *, yes: bool) -> None:
    """Show what will be done, and ask. Raises EngineError if nobody can be asked."""
    phases = (Phase.PREPARE, Phase.UPGRADE)
    plans = [rehearsal_plan.plan(settings.model_copy(update={"phase": phase})) for phase in phases]
    for sentence in dict.fromkeys(text.partition(" ")[2] for each in plans for text in each[:-1]):
        console.print(f"- {sentence}", markup=False, soft_wrap=True)
    console.print(f"- {plans[0][-1].partition(' ')[2]}", markup=False, soft_wrap=True)
    for sentence in rehearsal_plan.left_out(settings):
        console.print(f"Left out: {sentence}", markup=False, soft_wrap=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise EngineError("Expected: somebody to ask, or --yes. Found: no terminal. Nothing was done.")
    try:
        begin = typer.confirm("Begin?")
    except typer.Abort:
        begin = False
    if not begin:
        raise typer.Exit(NOTHING_DONE)


if __name__ == "__main__":
    typer.run(main)
