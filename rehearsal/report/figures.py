"""A report's figures in words, for README and the runbook, and the marks between which they stand there. Pure.

    <!-- figures: outage -->27.6 s<!-- end -->

Whatever stands between the two is written by `rehearsal.report.readme`; the white space at both ends stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rehearsal.drill.story import Practice
from rehearsal.report.model import Client, Move, Report
from rehearsal.report.page import moment, seconds, size, within

MARKED = re.compile(r"(<!-- figures: ([^>]+?) -->\s*)(.*?)(\s*<!-- end -->)", re.DOTALL)
OPENING = "<!-- figures:"
# So many of a phase's steps are named: the rest is in the report.
LONGEST = 3
PRACTICES = {"readonly": Practice.FROM_READONLY, "upgrade": Practice.FROM_UPGRADE, "cutover": Practice.FROM_CUTOVER}


class MarkError(Exception):
    """A page asks for a figure that there is not, or a mark has no end; the message names both."""


def fill(text: str, found: Mapping[str, str], page: str) -> str:
    """The page's text with the figures between its marks; `page` is its name, for messages. Raises MarkError."""
    names = [mark[2] for mark in MARKED.finditer(text)]
    if wrong := sorted(set(names) - set(found)):
        raise MarkError(
            f"Expected: marks in {page} that name one of {', '.join(found)}.\nFound: {', '.join(wrong)}.\n"
            "To do: correct the mark, or give a report that has this figure."
        )
    if len(names) != text.count(OPENING):
        raise MarkError(
            f"Expected: each `{OPENING} … -->` in {page} with its `<!-- end -->`.\n"
            f"Found: {text.count(OPENING)} of the one, {len(names)} of them with an end of their own.\nTo do: correct the marks."
        )
    return MARKED.sub(lambda mark: f"{mark[1]}{found[mark[2]]}{mark[4]}", text)


def figures(report: Report) -> dict[str, str]:
    """Name -> what stands between its marks. Of a rehearsal that passed: with an outage, a ledger and a comparison."""
    assert report.window is not None
    return {
        "summary": _summary(report),
        "costs": _costs(report),
        "outage": seconds(report.window.seconds),
        "rehearsed": f"{moment(report.began)}, PostgreSQL {report.versions.postgres_old} to {report.versions.postgres_new}",
        **{f"took {move.phase}": _took(move) for move in report.moves},
        **{f"back {phase}": _back(report, practice) for phase, practice in PRACTICES.items()},
    }


def _summary(report: Report) -> str:
    assert report.window is not None
    assert report.ledger is not None
    judged = [one for one in report.traffic.clients if one.judged]
    return (
        f"In the [rehearsal that is kept here](#what-it-costs), PostgreSQL {report.versions.postgres_old} to"
        f" {report.versions.postgres_new} under traffic, writes were refused for **{seconds(report.window.seconds)}**,"
        f" {seconds(_own(report))} of it for the rehearsal's own work. Of {report.ledger.acknowledged:,} acknowledged writes"
        f" {_lost(report):,} were lost. Of {sum(_online_reads(report, one) for one in judged):,} reads on online servers"
        f" {sum(one.reads_failed_online for one in judged):,} failed."
    )


def _costs(report: Report) -> str:
    """Two tables, and the pictures."""
    blocks = [
        _table(("what", "figure"), _whole(report)),
        _table(("phase", "preview", "`pulumi up`", "its longest steps"), [_phase(move) for move in report.moves]),
        "![Reads and writes of every server during the outage](docs/rehearsal/outage.svg)",
        "![Reads and writes of every server in all phases](docs/rehearsal/phases.svg)",
    ]
    return "\n\n".join(blocks)


def _whole(report: Report) -> list[tuple[str, ...]]:
    assert report.outage is not None
    assert report.window is not None
    assert report.ledger is not None
    servers = ", ".join(
        f"{name} {seconds(spell.seconds) if spell else 'not at all'}" for name, spell in report.outage.servers.items()
    )
    assert report.machine is not None
    machine, versions = report.machine, report.versions
    stand_ins = [name for name, played in versions.plugins.items() if played != "real"]
    rows: list[tuple[str, ...]] = [
        (
            "writes refused, as the clients on the online servers saw it",
            f"**{seconds(report.window.seconds)}** ({servers}), {report.window.refused:,} writes",
        ),
        (
            "of it the rehearsal's own work, which a night has not",
            f"{seconds(_compared(report))} to compare every table, {seconds(_previewed(report))} for previews",
        ),
        (
            "writes acknowledged / found again / lost",
            f"{report.ledger.acknowledged:,} / {report.ledger.found:,} / {_lost(report):,}",
        ),
        (
            "failed reads on online servers",
            ", ".join(_reads(report, one) for one in report.traffic.clients if _online_reads(report, one)),
        ),
        ("data", _data(report)),
        (
            "machine",
            f"{len(report.fleet)} servers, and the operator, on one: {machine.cores} cores, {size(machine.memory)}, {machine.processor}, {machine.system}",
        ),
        (
            "versions",
            f"PostgreSQL {versions.postgres_old} to {versions.postgres_new}, Pulumi {versions.engine}, Python {versions.python}, pgleap {versions.pgleap}"
            + (f" ({versions.commit})" if versions.commit else "")
            + (f"; stand-ins for {', '.join(stand_ins)}" if stand_ins else ""),
        ),
        (
            "from the standing fleet to the verdict",
            f"{seconds(report.ended - report.began)}, on {moment(report.began)}",
        ),
    ]
    return [*rows, ("the drill after it", _drill(report))] if report.drill else rows


def _phase(move: Move) -> tuple[str, ...]:
    preview, up = move.preview.ended - move.preview.began, move.ended - move.began
    return f"`{move.phase}`", seconds(preview), seconds(up), _longest(move)


def _took(move: Move) -> str:
    return f"{seconds(move.ended - move.began)}; longest: {_longest(move)}"


def _longest(move: Move) -> str:
    ended = [(step.seconds, step.name) for step in move.steps if step.seconds is not None]
    longest = sorted(ended, key=lambda one: -one[0])[:LONGEST]
    return ", ".join(f"`{name}` {seconds(spent)}" for spent, name in longest)


def _back(report: Report, practice: Practice) -> str:
    for one in report.drill.exercises if report.drill else []:
        if one.name == practice.value and one.back is not None:
            return f"writes came back {seconds(one.back)} after the command, all was done after {seconds(one.seconds)}"
    return "not practised in this one (`make rehearsal DRILL=yes` does)"


def _drill(report: Report) -> str:
    drill = report.drill
    assert drill is not None
    passed = drill.asked - len(drill.failed)
    return (
        f"{passed} of {drill.asked} exercises passed; {drill.acknowledged:,} writes acknowledged, {drill.lost:,} lost"
    )


def _data(report: Report) -> str:
    found = report.databases
    counts = {
        "table": sum(one.tables for one in found),
        "relation": sum(one.relations for one in found),
        "large object": sum(one.large_objects for one in found),
    }
    said = [f"{count:,} {what}{'s' if count != 1 else ''}" for what, count in counts.items()]
    # As the forecast of the same fleet has it: template1, which pg_upgrade carries too, holds none of this.
    databases = f"{len(found):,} database{'s' if len(found) != 1 else ''} and template1"
    return ", ".join([size(sum(one.bytes for one in found)), databases, *said])


def _reads(report: Report, client: Client) -> str:
    said = f"`{client.name}` {client.reads_failed_online:,} of {_online_reads(report, client):,}"
    return said if client.judged else f"{said} (it does not test its connections)"


def _online_reads(report: Report, client: Client) -> int:
    """All of a client's reads on the online servers: those that succeeded are what the latencies are of."""
    done = sum(one.count for one in report.latencies if one.kind == "read" and one.client == client.name)
    return done + client.reads_failed_online


def _lost(report: Report) -> int:
    assert report.ledger is not None
    return len(report.ledger.missing) + len(report.ledger.torn)


def _own(report: Report) -> float:
    return _compared(report) + _previewed(report)


def _compared(report: Report) -> float:
    return within(report, [report.comparison] if report.comparison else [])


def _previewed(report: Report) -> float:
    return within(report, [move.preview for move in report.moves])


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
