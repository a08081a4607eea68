"""How long writes will be refused: `python -m scripts.forecast [--json]`. It only reads.

From the present counts of databases, relations and large objects, and from the windows that were (docs/forecast.md).
Exit status: 0, 1 if the bad case exceeds the stack's outageBudget, 2 if nothing can be said.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scripts import stack
from scripts.forecast import counts, words
from scripts.forecast.before import before
from scripts.forecast.counts import CountsError


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
    name: Annotated[str | None, typer.Option("--stack", help="Another stack than the selected one.")] = None,
    records: Annotated[
        list[Path] | None, typer.Option(help="Another file of windows besides, such as a rehearsal's; more than once.")
    ] = None,
    deadline: Annotated[
        float, typer.Option(min=1, help="Seconds that each database server has to answer.")
    ] = counts.DEADLINE,
) -> None:
    """Say for how long the window will refuse writes, before anyone agrees to it. Changes nothing."""
    settings = stack.read_or_exit(name).settings
    try:
        found, strange = before(settings, stack.PROJECT, records or (), deadline)
    except (CountsError, OSError) as error:
        print(f"pgleap: there is no forecast. {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    budget = settings.outage_budget
    if as_json:
        print(json.dumps({**found.to_json(), "outageBudget": budget}, indent=2))
    else:
        console = Console(highlight=False)
        console.print(words.table(found))
        lines = [words.headline(found), *words.rests_on(found)]
        if strange:
            lines.append(f"{strange} lines of the records could not be understood, and are left out.")
        if budget is not None:
            over = "exceeds" if found.bad > budget else "is within"
            lines.append(f"The bad case {over} the stack's outageBudget of {budget} s.")
        for line in lines:
            console.print(line, markup=False, soft_wrap=True)
    raise typer.Exit(1 if budget is not None and found.bad > budget else 0)


if __name__ == "__main__":
    typer.run(main)
