"""The window in one go: readonly, upgrade, cutover, with the clock of the outage.

It begins with the forecast of how long writes will be refused. On a failure, a ^C, a deadline or an outageBudget that is used up before
DB_A has opened it goes back to prepare by itself, and says how long writes were refused.
Once DB_A has opened nothing goes back by itself. Run it in the project's folder, like pulumi.

Exit status: 0 what was asked for is done, 1 it went back to prepare, 2 nothing was done, 3 it needs a person.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from scripts.window import BEGAN, NOTHING_DONE
from scripts.window.engine import Engine, EngineError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    back: Annotated[bool, typer.Option("--back", help="walk back to prepare")] = False,
    preview: Annotated[bool, typer.Option("--dry-run", help="show what would be done, and do nothing")] = False,
    stack: Annotated[str | None, typer.Option(help="the stack; without it the one that is selected")] = None,
    deadline: Annotated[
        list[str] | None,
        typer.Option(help="seconds for a step, such as 20, or hosts-file=20 for one kind; may be given more than once"),
    ] = None,
    over_budget: Annotated[
        bool,
        typer.Option("--over-budget", help="begin although the forecast's bad case exceeds the stack's outageBudget"),
    ] = False,
) -> None:
    engine: Engine | None = None
    try:
        engine = Engine(Path.cwd(), stack)
        reading = engine.begin_reading(check=not back, load=not preview)
        # The rest takes half a second to import. The stack is read meanwhile: on the way back writes wait for both.
        from scripts.window.command import run  # noqa: PLC0415

        status = run(
            reading, BEGAN, back=back, preview=preview, deadlines_given=deadline or [], over_budget=over_budget
        )
    except EngineError as error:
        print(f"pgleap: {error}", file=sys.stderr)
        status = NOTHING_DONE
    except KeyboardInterrupt:
        # From its first `up` on the window takes a ^C itself.
        print("Interrupted. Nothing was done.", file=sys.stderr)
        status = NOTHING_DONE
    finally:
        if engine is not None:
            engine.close()
    raise typer.Exit(status)


app()
