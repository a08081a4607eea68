"""A bar per step with its seconds, and the latencies as ranges."""

from __future__ import annotations

import math

from markupsafe import Markup

from rehearsal.report.axis import Axis
from rehearsal.report.model import Latency, Move
from rehearsal.report.svg import add, explain, markup, picture, width_of

WIDTH, RIGHT = 1200.0, 1130.0
STEPS_LEFT, STEP_ROW = 230.0, 15.0
LATENCY_LEFT, LATENCY_ROW, GROUP_GAP = 230.0, 17.0, 10.0


def steps(move: Move) -> Markup:
    """The steps of one `up`, by their beginning; each bar stands where it was under way."""
    axis = Axis(move.began, max(move.ended, move.began + 0.1), STEPS_LEFT, RIGHT, zero=move.began)
    bottom = STEP_ROW * len(move.steps) + 4
    svg = picture(WIDTH, bottom + 22, f"steps-{move.phase}", f"The steps of {move.phase}, with their seconds")
    axis.draw(svg, 0, bottom)
    for row, step in enumerate(move.steps):
        top = row * STEP_ROW + 2
        begin, end = axis.x(step.began), axis.x(step.ended or move.ended)
        said = "not ended" if step.seconds is None else f"{step.seconds:.2f} s" + (", failed" if step.failed else "")
        add(svg, "text", step.name, class_="label", x=STEPS_LEFT - 8, y=top + 10, text_anchor="end")
        kind = "step failed" if step.failed else "step"
        bar = add(svg, "rect", class_=kind, x=begin, y=top + 2, width=max(1.5, end - begin), height=STEP_ROW - 5)
        explain(bar, f"{step.name}: {said}")
        if end + width_of(said, 11) + 8 < WIDTH:
            add(svg, "text", said, class_="value", x=end + 5, y=top + 10)
        else:
            add(svg, "text", said, class_="value", x=begin - 5, y=top + 10, text_anchor="end")
    return markup(svg)


def latencies(found: list[Latency]) -> Markup:
    """From the median (dot) over 95 of 100 (bar) to 99 of 100 (end), on a scale of powers of ten."""
    lowest = 10 ** math.floor(math.log10(max(0.1, min((one.p50 for one in found), default=1.0))))
    highest = 10 ** math.ceil(math.log10(max(lowest * 10, *(one.p99 for one in found), 1.0)))

    def x(milliseconds: float) -> float:
        inside = min(max(milliseconds, lowest), highest)
        return LATENCY_LEFT + math.log10(inside / lowest) / math.log10(highest / lowest) * (RIGHT - LATENCY_LEFT)

    groups = len({(one.kind, one.client) for one in found})
    bottom = LATENCY_ROW * len(found) + GROUP_GAP * groups
    svg = picture(WIDTH, bottom + 24, "latencies", "Latencies before, during and after the outage")
    power = lowest
    while power <= highest * 1.001:
        add(svg, "line", class_="grid", x1=x(power), x2=x(power), y1=0, y2=bottom)
        add(svg, "text", f"{power:g} ms", class_="tick", x=x(power), y=bottom + 16, text_anchor="middle")
        power *= 10
    top, group = 0.0, ("", "")
    for one in found:
        if group != (one.kind, one.client):
            top += GROUP_GAP
            add(svg, "text", f"{one.kind}s, {one.client}", class_="label", x=4, y=top + 12)
        group = (one.kind, one.client)
        middle = top + LATENCY_ROW / 2
        add(svg, "text", one.span, class_="value", x=LATENCY_LEFT - 8, y=middle + 4, text_anchor="end")
        drawn = add(svg, "g", class_=f"range {one.span}")
        add(drawn, "line", class_="reach", x1=x(one.p50), x2=x(one.p99), y1=middle, y2=middle)
        for value in (one.p95, one.p99):
            add(drawn, "line", class_="mark", x1=x(value), x2=x(value), y1=middle - 5, y2=middle + 5)
        add(drawn, "circle", class_="median", cx=x(one.p50), cy=middle, r=4)
        explain(drawn, f"p50 {one.p50:.1f} ms, p95 {one.p95:.1f} ms, p99 {one.p99:.1f} ms, of {one.count}")
        top += LATENCY_ROW
    return markup(svg)
