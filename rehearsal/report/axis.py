"""A stretch of time laid along a picture's width, with its ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rehearsal.report.svg import Element, add

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
MOST_TICKS = 14


@dataclass(frozen=True)
class Axis:
    """[since, until] in seconds, on [left, right] in pixels. `zero` is the moment that ticks count from."""

    since: float
    until: float
    left: float
    right: float
    zero: float

    def x(self, moment: float) -> float:
        """Where a moment lies; one outside lies on the edge."""
        inside = min(max(moment, self.since), self.until)
        return self.left + (inside - self.since) * self.pixels

    @property
    def pixels(self) -> float:
        """Pixels of a second."""
        return (self.right - self.left) / (self.until - self.since)

    def meets(self, since: float, until: float) -> bool:
        """Whether any of it can be seen."""
        return since < self.until and until > self.since

    def ticks(self) -> list[float]:
        """Moments at round numbers of seconds from `zero`."""
        length = self.until - self.since
        step = next((one for one in TICKS if length / one <= MOST_TICKS), TICKS[-1])
        first = math.ceil((self.since - self.zero) / step)
        last = math.floor((self.until - self.zero) / step)
        return [self.zero + index * step for index in range(first, last + 1)]

    def draw(self, svg: Element, top: float, bottom: float) -> None:
        """Lines from `top` to `bottom`, and beneath them their times."""
        for moment in self.ticks():
            x = self.x(moment)
            add(svg, "line", class_="grid", x1=x, x2=x, y1=top, y2=bottom)
            add(svg, "text", clock(moment - self.zero), class_="tick", x=x, y=bottom + 15, text_anchor="middle")


def clock(seconds: float) -> str:
    """Below a minute in seconds, above as m:ss or h:mm:ss."""
    if abs(seconds) < 60:
        return f"{seconds:g} s" if seconds == round(seconds) else f"{seconds:.1f} s"
    sign, whole = ("-" if seconds < 0 else ""), round(abs(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{sign}{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{sign}{minutes}:{whole % 60:02}"
