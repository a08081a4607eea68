"""The timeline: each server's reads and writes over the phases and steps, the time in which writes were refused shaded."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from rehearsal.report.axis import Axis
from rehearsal.report.model import Lane, Move, Report, Step
from rehearsal.report.svg import Element, add, explain, number, picture, rows, width_of

WIDTH, LEFT, RIGHT = 1200.0, 128.0, 1188.0
LANE, SERVER_GAP, SIDE_GAP = 25.0, 5.0, 26.0
# Of a lane's height, what its highest bar takes: above the line and below it the same scale.
FILLED = 0.46
OUTAGE_ROW, LABEL_ROW, PHASE_ROW = 26.0, 16.0, 14.0
TICKS_ROW, STEP_ROW = 10.0, 12.0
STEP_LABEL = 10.0
# One failure in a long run must still be seen.
LEAST_PIXELS = 2.5
# Steps that took so long bear their name in the close-up.
NAMED_SECONDS = 0.45
# The close-up begins and ends so far from the outage, in seconds: enough to see that all was well before, and is after.
MARGIN_SECONDS = 4.0
SIDES = {
    "client": "As the servers' clients saw it",
    "database": "By the database that answered",
}


@dataclass(frozen=True)
class Drawing:
    """A picture that is being drawn downwards; `top` is where its next part begins."""

    svg: Element
    axis: Axis
    report: Report


def whole(report: Report) -> Element:
    """The whole run; times count from its beginning."""
    traffic = report.traffic
    since = min([traffic.began, *(move.preview.began for move in report.moves)])
    until = max([traffic.ended, *(move.ended for move in report.moves)])
    axis = Axis(since, until, LEFT, RIGHT, zero=since)
    return _draw(report, axis, "timeline-whole", "All phases: reads and writes of every server", named=False)


def close_up(report: Report) -> Element | None:
    """The outage with what lies around it; times count from the first refused write. None if there was none."""
    window = report.window
    if window is None:
        return None
    end = window.since + window.seconds
    axis = Axis(window.since - MARGIN_SECONDS, end + MARGIN_SECONDS, LEFT, RIGHT, zero=window.since)
    return _draw(report, axis, "timeline-outage", "The outage: reads and writes of every server", named=True)


def _draw(report: Report, axis: Axis, name: str, description: str, *, named: bool) -> Element:
    moves = [move for move in report.moves if axis.meets(move.preview.began, move.ended)]
    found = [step for move in moves for step in move.steps if axis.meets(step.began, step.ended or axis.until)]
    steps = sorted(found, key=lambda step: _extent(axis, step))
    labels = rows((axis.x(move.began), axis.x(move.began) + width_of(move.phase, 13) + 10) for move in moves)
    step_rows = rows(_extent(axis, step) for step in steps) if named else []
    phases_top = OUTAGE_ROW + LABEL_ROW * (max(labels, default=0) + 1)
    steps_top = phases_top + PHASE_ROW + 4
    steps_bottom = steps_top + (STEP_ROW * (max(step_rows, default=-1) + 1) if named else TICKS_ROW)
    tops, bottom = _places(report.traffic.lanes, steps_bottom + 8)

    svg = picture(WIDTH, bottom + 26, name, description)
    drawing = Drawing(svg, axis, report)
    _shade(drawing, OUTAGE_ROW, bottom)
    axis.draw(svg, steps_bottom + 4, bottom)
    _phases(drawing, moves, labels, phases_top, bottom)
    if named:
        _named_steps(drawing, steps, step_rows, steps_top)
    else:
        _ticked_steps(drawing, steps, steps_top)
    _lanes(drawing, tops)
    return svg


def _extent(axis: Axis, step: Step) -> tuple[float, float]:
    """What a step takes of its row: its bar, and its name if it bears one, behind it or, at the right edge, before it."""
    begin, end = axis.x(step.began), axis.x(step.ended or axis.until)
    label = width_of(step.name, STEP_LABEL) + 8 if _is_named(axis, step) else 0
    return (begin, end + label + 2) if end + label <= RIGHT else (begin - label, end + 2)


def _is_named(axis: Axis, step: Step) -> bool:
    """Whether a step is long enough, in what can be seen of it, to bear its name."""
    return axis.x(step.ended or axis.until) - axis.x(step.began) >= NAMED_SECONDS * axis.pixels


def _places(lanes: list[Lane], top: float) -> tuple[list[float], float]:
    """The top of each lane, and the bottom of the last: by side, then by server."""
    tops = []
    for _, side in groupby(lanes, key=lambda lane: lane.side):
        top += SIDE_GAP
        for _, server in groupby(side, key=lambda lane: lane.server):
            for _ in server:
                tops.append(top)
                top += LANE
            top += SERVER_GAP
    return tops, top


def _shade(drawing: Drawing, top: float, bottom: float) -> None:
    window, axis = drawing.report.window, drawing.axis
    if window is None:
        return
    begin, end = axis.x(window.since), axis.x(window.since + window.seconds)
    shade = add(drawing.svg, "rect", class_="outage", x=begin, y=top, width=end - begin, height=bottom - top)
    shade.set("data-seconds", repr(window.seconds))
    said = f"writes refused for {window.seconds:.1f} s" + ("" if window.until is not None else ", and no end seen")
    explain(shade, said)
    for x in (begin, end):
        add(drawing.svg, "line", class_="outage-edge", x1=x, x2=x, y1=top - 8, y2=bottom)
    add(drawing.svg, "line", class_="outage-edge", x1=begin, x2=end, y1=top - 5, y2=top - 5)
    half = width_of(said, 15) / 2
    middle = min(max((begin + end) / 2, LEFT + half), RIGHT - half)
    add(drawing.svg, "text", said, class_="outage-said", x=middle, y=top - 11, text_anchor="middle")
    comparison = drawing.report.comparison
    if comparison and axis.meets(comparison.began, comparison.ended):
        left, right = axis.x(comparison.began), axis.x(comparison.ended)
        own = add(drawing.svg, "rect", class_="own", x=left, y=top - 5, width=right - left, height=7)
        explain(own, f"the rehearsal's own comparison of every table: {comparison.ended - comparison.began:.1f} s")


def _phases(drawing: Drawing, moves: list[Move], labels: list[int], top: float, bottom: float) -> None:
    svg, axis = drawing.svg, drawing.axis
    for move, row in zip(moves, labels, strict=True):
        read, begin, end = axis.x(move.preview.began), axis.x(move.began), axis.x(move.ended)
        preview = add(svg, "rect", class_="preview", x=read, y=top + 3, width=begin - read, height=PHASE_ROW - 6)
        explain(preview, f"preview of {move.phase}: {move.preview.ended - move.preview.began:.1f} s")
        up = add(svg, "rect", class_="phase", x=begin, y=top, width=end - begin, height=PHASE_ROW)
        explain(up, f"up to {move.phase}: {move.ended - move.began:.1f} s")
        if move.began >= axis.since:
            add(svg, "line", class_="phase-edge", x1=begin, x2=begin, y1=OUTAGE_ROW + LABEL_ROW * row + 4, y2=bottom)
        add(svg, "text", move.phase, class_="phase-name", x=begin + 4, y=OUTAGE_ROW + LABEL_ROW * row + 13)


def _ticked_steps(drawing: Drawing, steps: list[Step], top: float) -> None:
    for step in steps:
        _bar(drawing, step, top, TICKS_ROW - 2)


def _named_steps(drawing: Drawing, steps: list[Step], placed: list[int], top: float) -> None:
    for step, row in zip(steps, placed, strict=True):
        y = top + row * STEP_ROW
        _bar(drawing, step, y + 2, STEP_ROW - 4)
        if not _is_named(drawing.axis, step):
            continue
        begin, end = drawing.axis.x(step.began), drawing.axis.x(step.ended or drawing.axis.until)
        behind = _extent(drawing.axis, step)[0] == begin
        place, anchor = (end + 4, "start") if behind else (begin - 4, "end")
        add(drawing.svg, "text", step.name, class_="step-name", x=place, y=y + STEP_ROW - 3, text_anchor=anchor)


def _bar(drawing: Drawing, step: Step, top: float, height: float) -> None:
    begin, end = drawing.axis.x(step.began), drawing.axis.x(step.ended or drawing.axis.until)
    kind = "step failed" if step.failed else "step"
    bar = add(drawing.svg, "rect", class_=kind, x=begin, y=top, width=max(1.0, end - begin), height=height)
    explain(bar, f"{step.name}: {step.seconds:.2f} s" if step.seconds is not None else f"{step.name}: not ended")


def _lanes(drawing: Drawing, tops: list[float]) -> None:
    traffic = drawing.report.traffic
    highest = {
        side: max(
            (count for lane in traffic.lanes if lane.side == side for count in (*lane.succeeded, *lane.failed)),
            default=1,
        )
        for side in SIDES
    }
    before: tuple[str, str] | None = None
    for lane, top in zip(traffic.lanes, tops, strict=True):
        if before is None or before[0] != lane.side:
            add(drawing.svg, "text", SIDES[lane.side], class_="side", x=4, y=top - 9)
        if before != (lane.side, lane.server):
            add(drawing.svg, "text", lane.server, class_="server", x=4, y=top + LANE / 2 + 4)
        before = (lane.side, lane.server)
        _lane(drawing, lane, top + LANE / 2, LANE * FILLED / highest[lane.side])


def _lane(drawing: Drawing, lane: Lane, base: float, unit: float) -> None:
    """One lane about its line at `base`; `unit` pixels are an operation. Its bars are drawn in buckets and operations, and scaled."""
    axis, traffic = drawing.axis, drawing.report.traffic
    add(drawing.svg, "text", f"{lane.kind}s", class_="kind", x=LEFT - 8, y=base + 4, text_anchor="end")
    add(drawing.svg, "line", class_="base", x1=LEFT, x2=RIGHT, y1=base, y2=base)
    seconds = traffic.bucket_milliseconds / 1000
    # A bucket at the edge is drawn whole or not at all.
    shown = [
        index
        for index in range(traffic.buckets)
        if axis.since <= traffic.began + index * seconds and traffic.began + (index + 1) * seconds <= axis.until + 1e-6
    ]
    zero = axis.left + (traffic.began - axis.since + seconds / 2) * axis.pixels
    # Six decimals: a bucket's width times thousands of buckets must not drift.
    scale = f"translate({zero:.4f} {base:.2f}) scale({seconds * axis.pixels:.6f} {unit:.6f})"
    group = add(drawing.svg, "g", class_=f"lane {lane.kind}", transform=scale)
    group.set("data-lane", f"{lane.side} {lane.server} {lane.kind}")
    for kind, counts, sign in (("succeeded", lane.succeeded, "-"), ("failed", lane.failed, "")):
        path = "".join(f"M{index} 0v{sign}{counts[index]}" for index in shown if counts[index])
        if path:
            drawn = add(group, "path", class_=kind, d=path)
            if kind == "failed":
                drawn.set("style", f"stroke-width:{number(max(1.0, LEAST_PIXELS / (seconds * axis.pixels)))}")
    explain(
        group,
        f"{lane.server}, {lane.kind}s: {sum(lane.succeeded)} succeeded, {sum(lane.failed)} failed in the whole run",
    )
