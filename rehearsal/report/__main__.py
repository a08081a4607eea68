"""Make a report's page again from its JSON: python -m rehearsal.report JSON HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from rehearsal.report import page
from rehearsal.report.model import VERSION


def main(
    source: Annotated[Path, typer.Argument(metavar="JSON", exists=True, dir_okay=False)],
    target: Annotated[Path, typer.Argument(metavar="HTML", dir_okay=False)],
) -> None:
    """Make the page HTML from the report JSON alone."""
    try:
        typer.echo(page.write(source, target))
    except ValidationError as error:
        typer.echo(
            f"Expected: a rehearsal's report of version {VERSION}.\nFound: {source}, of which: {error}\n"
            "To do: make it again with the checkout that wrote it.",
            err=True,
        )
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
