"""README's figures and pictures, and the runbook's, from a rehearsal's report: python -m rehearsal.report.readme [JSON].

The report is kept in docs/rehearsal/, and all else is made from what is kept there: the test of this module holds them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from agent.states import Phase
from rehearsal.report import pictures, timeline
from rehearsal.report.figures import MarkError, figures, fill
from rehearsal.report.model import VERSION, Report

REPOSITORY = Path(__file__).parents[2]
LAST = REPOSITORY / "rehearsal-report" / "report.json"
KEPT = "docs/rehearsal/report.json"
OUTAGE, PHASES = "docs/rehearsal/outage.svg", "docs/rehearsal/phases.svg"
PAGES = ("README.md", "docs/runbook.md")
# What a checkout can bear, in bytes. Beyond it the previews' text goes: what they look like stands in README.
MOST_BYTES = 1_500_000
# Where paths on a server begin. One that begins elsewhere is of the machine that rehearsed, and its owner's business.
ON_SERVERS = frozenset({"bin", "boot", "dev", "etc", "lib", "opt", "proc", "run", "sbin", "sys", "usr", "var"})
PATH = re.compile(r"(?<![\w.}~/<-])/([A-Za-z][\w.-]*)(?:/[\w.-]+)+")


class UnfitError(Exception):
    """The report is none to be kept; the message says what was expected, what was found, what to do."""


def keep(report: Report) -> Report:
    """The report as it is kept: small enough. Raises UnfitError for one that failed, or has not all phases, or a path of its machine."""
    went = [move.phase for move in report.moves]
    told = report.window and report.window.until and report.ledger and report.comparison and report.machine
    if not report.passed or went != [phase.value for phase in Phase] or not told:
        why = [*report.complaints, *(report.drill.complaints if report.drill else [])]
        raise UnfitError(
            "Expected: the report of a whole rehearsal that passed, with an outage, a ledger and a comparison.\n"
            f"Found: {', '.join(went)}; {'; '.join(why) or 'no complaint'}.\nTo do: make rehearsal"
        )
    own = sorted({path for text in _texts(report.model_dump()) for path in _own_paths(text)})
    if own:
        raise UnfitError(
            f"Expected: no path of the machine that rehearsed.\nFound: {', '.join(own)}.\n"
            "To do: have whoever recorded it leave it out (rehearsal/recording.py does of the checkout's), and rehearse again."
        )
    return report if len(_json(report)) <= MOST_BYTES else _without_previews(report)


def made(kept: Report, pages: dict[str, str]) -> dict[str, str]:
    """File -> text of everything that is made from the report that is kept; `pages`: the texts with the marks. Raises MarkError."""
    close_up = timeline.close_up(kept)
    assert close_up is not None
    found = figures(kept)
    return {
        KEPT: _json(kept),
        OUTAGE: pictures.alone(close_up),
        PHASES: pictures.alone(timeline.whole(kept)),
        **{name: fill(text, found, name) for name, text in pages.items()},
    }


def read(repository: Path) -> dict[str, str]:
    """The pages as they are."""
    return {name: (repository / name).read_text(encoding="utf-8") for name in PAGES}


def _json(report: Report) -> str:
    return report.model_dump_json() + "\n"


def _without_previews(report: Report) -> Report:
    moves = []
    for move in report.moves:
        lines = len(move.preview.text.splitlines())
        said = f"({lines} lines, left out of the report that is kept)\n"
        moves.append(move.model_copy(update={"preview": move.preview.model_copy(update={"text": said})}))
    return report.model_copy(update={"moves": moves})


def _texts(value: Any) -> Iterator[str]:
    """Every text in what a model holds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(key)
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _own_paths(text: str) -> Iterator[str]:
    return (found[0] for found in PATH.finditer(text) if found[1] not in ON_SERVERS)


def main(
    source: Annotated[Path, typer.Argument(metavar="[JSON]", exists=True, dir_okay=False, show_default=False)] = LAST,
) -> None:
    """Keep the report JSON (the last rehearsal's) in docs/rehearsal/, draw its pictures there, and write its figures into README.md and docs/runbook.md."""
    try:
        report = Report.model_validate_json(source.read_text(encoding="utf-8"))
        kept = keep(report)
        files = made(kept, read(REPOSITORY))
    except ValidationError as error:
        _refuse(f"Expected: a rehearsal's report of version {VERSION}.\nFound: {source}, of which: {error}")
    except (UnfitError, MarkError) as error:
        _refuse(str(error))
    if kept != report:
        typer.echo(f"The previews' texts are left out: with them it is larger than {MOST_BYTES:,} bytes.")
    (REPOSITORY / KEPT).parent.mkdir(exist_ok=True)
    for name, text in files.items():
        (REPOSITORY / name).write_text(text, encoding="utf-8")
        typer.echo(f"{name}: {len(text.encode()):,} bytes")


def _refuse(why: str) -> NoReturn:
    typer.echo(why, err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
