"""The table that a rehearsal ends with."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rehearsal.rehearse import JUDGED, Judgement
from rehearsal.traffic.install import KINDS
from rehearsal.traffic.log import counts

# Steps shorter than this are told together: the table is to be read, and the rest is in the output above it.
SHORT_SECONDS = 0.5


def show(judged: Judgement, console: Console) -> None:
    """Seconds per step, errors per kind of client, the outage as the clients saw it, the ledger, the verdict."""
    console.print(_steps(judged))
    console.print(_clients(judged))
    console.print(_result(judged))
    for line in judged.notes:
        console.print(f"[yellow]otherwise than in the config:[/yellow] {escape(line)}")
    for line in judged.not_rehearsed:
        console.print(f"[yellow]not rehearsed:[/yellow] {escape(line)}")
    complaints = judged.complaints()
    for complaint in complaints:
        console.print(f"[red]failed:[/red] {escape(complaint)}")
    if not complaints:
        console.print(
            "[green]passed:[/green] no acknowledged write is missing, every table is equal, no judged read failed"
        )


def _steps(judged: Judgement) -> Table:
    table = Table("phase", "step", "seconds", title="Seconds per step")
    for phase, whole in judged.seconds.items():
        mine = [(step, seconds) for named, step, seconds in judged.steps if named == phase]
        for step, seconds in mine:
            if seconds >= SHORT_SECONDS:
                table.add_row(phase, step, f"{seconds:.2f}")
        short = [seconds for _, seconds in mine if seconds < SHORT_SECONDS]
        table.add_row(phase, f"{len(short)} steps under {SHORT_SECONDS} s each, side by side", f"{sum(short):.2f}")
        table.add_row(phase, "[bold]the whole pulumi up", f"[bold]{whole:.1f}", end_section=True)
    return table


def _clients(judged: Judgement) -> Table:
    table = Table(
        "client", "reads", "read errors", "on online servers", "writes", "write errors", title="As the clients saw it"
    )
    found = counts(judged.operations)
    for client in (*KINDS, "worker"):
        reads, writes = found.get((client, "read")), found.get((client, "write"))
        table.add_row(
            client,
            str(reads.total if reads else 0),
            str(reads.failed if reads else 0),
            f"{judged.read_errors(client)}{' (must be 0)' if client in JUDGED else ''}",
            str(writes.total if writes else 0),
            str(writes.failed if writes else 0),
        )
    return table


def _result(judged: Judgement) -> Table:
    table = Table("what", "figure", title="The move")
    seen, ledger = judged.outage, judged.ledger
    if seen and seen.window:
        table.add_row(
            "write outage, all online servers", f"{seen.window.seconds:.1f} s, {seen.window.refused} writes refused"
        )
        for server in judged.online:
            spell = seen.servers[server]
            table.add_row(f"write outage on {server}", f"{spell.seconds:.1f} s" if spell else "none")
        table.add_row("  of it, the rehearsal's own comparison of all tables", f"{judged.comparing:.1f} s")
    if ledger:
        table.add_row("writes acknowledged / found again", f"{ledger.acknowledged} / {ledger.found}")
        table.add_row("acknowledged writes lost", str(len(ledger.missing) + len(ledger.torn)))
    table.add_row("tables whose content differs", str(len(judged.differing)))
    for restored in judged.restored:
        table.add_row("the schema given", restored)
    if judged.restored and judged.comparison:
        table.add_row("  of it, objects whose definitions were compared", str(judged.comparison.objects))
    table.add_row("unlogged tables that arrived empty", ", ".join(judged.emptied) or "none")
    return table
