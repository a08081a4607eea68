"""The report as people read it: what refuses first, with why and what to do; what is fine in a few lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scripts.preflight.report import Report, Row, Status

# Where no terminal says how wide it is: a log, a pipe.
WIDTH = 100
# More than this of one check are counted, not listed.
SENTENCES = 12
# Where a line has the names of its checks.
HOLE = "\0"
STYLES = {Status.REFUSE: "bold red", Status.WARN: "bold yellow", Status.NOTE: "bold", Status.ACCEPTED: "dim"}


def show(report: Report) -> None:
    """Print it to stdout."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    counts = ", ".join(f"{len(rows)} {status}" for status in Status if (rows := report.with_status(status)))
    asked = len(report.settings.servers) - len(report.silent)
    console.print(
        f"[bold]Preflight[/bold] in phase {report.settings.phase}: {len(report.rows)} checks on {asked} servers in"
        f" {report.seconds:.1f} s: {counts}"
    )
    for server, why in report.silent.items():
        console.print(f"Nothing is known of [bold]{server}[/bold]: {escape(why)}")
    findings = report.with_status(*STYLES)
    if findings:
        console.print(_table(findings))
    console.print(_quiet(report))
    _end(console, report)


def _table(rows: list[Row]) -> Table:
    table = Table(show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1))
    table.add_column("", no_wrap=True)
    table.add_column("check", no_wrap=True)
    table.add_column("what was found, why it matters, what to do", overflow="fold")
    for row in rows:
        style = STYLES[row.status]
        table.add_row(Text(row.status.value, style), Text(row.name.value, style), Group(*_cell(row)), end_section=True)
    return table


def _cell(row: Row) -> Iterator[RenderableType]:
    """Servers that say the same say it together."""
    said = _together(row.outcome.found)
    for sentence, servers in list(said.items())[:SENTENCES]:
        yield Text.from_markup(f"[bold]{', '.join(servers)}[/bold]: {escape(sentence)}")
    if len(said) > SENTENCES:
        yield Text(f"and {len(said) - SENTENCES} more (--json tells them all)")
    for sentence in _unseen(row.outcome.unseen):
        yield Text.from_markup(f"[dim]not checked on {escape(sentence)}[/dim]")
    if row.accepted is not None:
        yield Text.from_markup(f"[bold]Accepted:[/bold] {escape(row.accepted)}")
        return
    yield Text.from_markup(f"[italic]Why:[/italic] {escape(row.why)}")
    yield Text.from_markup(f"[italic]Do:[/italic] {escape(row.do)}")


def _together(found: Mapping[str, list[str]]) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for server, sentences in found.items():
        for sentence in sentences:
            said.setdefault(sentence, []).append(server)
    return said


def _quiet(report: Report) -> Group:
    """What is fine, and what was not checked, wholly or on some servers; checks with the same reason together."""
    lines: dict[str, list[str]] = {}
    for row in report.with_status(Status.NOT_CHECKED):
        why = "; ".join(_unseen(row.outcome.unseen)) or "no server on which it is made answered"
        lines.setdefault(f"[bold]not checked[/bold] {HOLE}: {escape(why)}", []).append(row.name.value)
    whole = "[bold green]ok[/bold green] " + HOLE
    for row in report.with_status(Status.OK):
        # Servers of which nothing is known were told at the top.
        partly = _unseen({name: why for name, why in row.outcome.unseen.items() if name not in report.silent})
        line = f"[bold green]ok[/bold green] {HOLE}; not checked on {escape('; '.join(partly))}" if partly else whole
        lines.setdefault(line, []).append(row.name.value)
    needless = [row.name.value for row in report.rows if row.accepted is not None and not row.outcome.found]
    if needless:
        lines[f"Accepted in the stack's config, though nothing was found: {HOLE}"] = needless
    last = {whole: lines.pop(whole)} if whole in lines else {}
    told = [line.replace(HOLE, ", ".join(names)) for line, names in {**lines, **last}.items()]
    return Group(*(Text.from_markup(line) for line in told))


def _unseen(unseen: Mapping[str, str]) -> list[str]:
    said = _together({name: [why] for name, why in unseen.items()})
    return [f"{', '.join(servers)}: {sentence}" for sentence, servers in said.items()]


def _end(console: Console, report: Report) -> None:
    refusing = report.with_status(Status.REFUSE)
    if not refusing:
        console.print("[bold]Nothing refuses.[/bold]")
        return
    name = refusing[0].name.value
    console.print(
        f"[bold]{len(refusing)} refuse[/bold]: the way to readonly stops over these. What you can live with, accept by its name:",
    )
    console.print(Text(f"pulumi config set --path 'pgleap:preflight.accept.{name}' '<why>'"), soft_wrap=True)
