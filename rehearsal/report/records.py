"""What a rehearsal's steps took of its outage, as scripts.forecast reads it. Pure."""

from __future__ import annotations

from agent.states import Phase
from rehearsal.report.model import Report
from scripts.forecast import prior
from scripts.forecast.forecast import PHASES
from scripts.forecast.parts import Span, engine_part, laid_out, part_name
from scripts.forecast.run import Run, Shape

STACK = "rehearsal"


def run(report: Report, shape: Shape) -> Run | None:
    """The record; None if the outage has no end.

    The engine's own time is left out: here an `up` for each phase, with a preview to read before it and all tables compared in between, lay
    in the outage, which scripts.window does without. It goes to cutover without an `up` to `upgrade`, of which only DB_A's upgrade is left.
    """
    window = report.window
    if window is None or window.until is None:
        return None
    roles = {server.name: server.role for server in report.fleet}
    spans = []
    for move in report.moves:
        phase = Phase.CUTOVER.value if move.phase == Phase.UPGRADE.value else move.phase
        for step in move.steps if phase in PHASES else ():
            part = part_name(phase, step.name, roles)
            if phase == move.phase or part == prior.DATABASE:
                spans.append(Span(part, step.began, step.ended or move.ended))
    engine = {engine_part(phase) for phase in PHASES}
    parts = laid_out(sorted(spans, key=lambda span: span.began), window.since, window.until, PHASES[-1])
    return Run(
        at=report.ended,
        stack=STACK,
        ended="rehearsal",
        shape=shape,
        parts={name: round(seconds, 3) for name, seconds in parts.items() if name not in engine},
    )
