"""The window in one go: readonly, upgrade, cutover, with the clock of the outage.

On a failure, a ^C or a deadline before DB_A has opened it goes back to prepare by itself, and says how long writes were refused.
Once DB_A has opened nothing goes back. Run it in the project's folder, like pulumi.

Exit status: 0 what was asked for is done, 1 it went back to prepare, 2 nothing was done, 3 it needs a person.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Annotated

import typer

from components.config_errors import SettingsError
from scripts.window import deadlines, dry_run
from scripts.window.course import NoWayError
from scripts.window.engine import Engine, EngineError
from scripts.window.screen import Screen
from scripts.window.summary import BACK
from scripts.window.window import Window, open_stack

NOTHING_DONE = 2
NEEDS_A_PERSON = 3

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
) -> None:
    screen = Screen()
    try:
        given = deadlines.read(deadline or [])
        engine = Engine(Path.cwd(), stack)
        it = open_stack(engine)
        status = dry_run.show(it, screen, back) if preview else Window(it, given, screen).go(back)
    except (NoWayError, SettingsError, EngineError, deadlines.DeadlineError) as error:
        screen.say(str(error), "red")
        status = NOTHING_DONE
    except KeyboardInterrupt:
        # From its first `up` on the window takes a ^C itself.
        screen.say("Interrupted. Nothing was done.", "yellow")
        status = NOTHING_DONE
    except Exception:  # a status of 1 would say that it went back
        traceback.print_exc()
        screen.say(f"Expected: anything but this. Where the fleet stands is not known.\nTo do: {BACK}", "red")
        status = NEEDS_A_PERSON
    raise typer.Exit(status)


app()
