"""The page, from the JSON alone: page.html.jinja with picture.css and page.css inside, and pictures as inline SVG. It fetches nothing and runs nothing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rehearsal.report import bars, timeline
from rehearsal.report.model import Comparison, HostsFile, Preview, Report
from rehearsal.report.svg import hatch, markup

_HERE = Path(__file__).parent
STYLES = ("picture.css", "page.css")
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def write(source: Path, target: Path) -> Path:
    """Read the JSON, write the page; the page's path. Raises OSError, and pydantic.ValidationError for what is no report of this version."""
    report = Report.model_validate_json(source.read_text(encoding="utf-8"))
    target.write_text(html(report), encoding="utf-8")
    return target


def html(report: Report) -> str:
    """The whole page."""
    close_up = timeline.close_up(report)
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seconds": seconds, "size": size, "moment": moment, "marked": marked}
    return environment.get_template("page.html.jinja").render(
        report=report,
        style=Markup("".join((_HERE / name).read_text(encoding="utf-8") for name in STYLES)),  # noqa: S704 - files of ours
        hatch=markup(hatch()),
        compared=within(report, [report.comparison] if report.comparison else []),
        previewed=within(report, [move.preview for move in report.moves]),
        close_up=markup(close_up) if close_up is not None else None,
        whole=markup(timeline.whole(report)),
        latencies=bars.latencies(report.latencies),
        steps=[(move, bars.steps(move)) for move in report.moves],
        hosts_files=[(file.server, difference(file)) for file in report.hosts_files],
    )


def within(report: Report, works: Sequence[Comparison | Preview]) -> float:
    """How many seconds of the outage some works of the rehearsal's own took: on the night scripts.window does without them."""
    window = report.window
    if window is None:
        return 0.0
    end = window.since + window.seconds
    return sum(max(0.0, min(one.ended, end) - max(one.began, window.since)) for one in works)


def difference(file: HostsFile) -> list[str]:
    """The lines of a hosts file as a diff shows them, each with its first character: a minus, a plus, or a blank. All lines are there."""
    before, after = file.before.splitlines(), file.after.splitlines()
    shown = list(difflib.unified_diff(before, after, n=len(before) + len(after), lineterm=""))
    # Two lines with the files' names, and one with the place in them.
    return shown[3:] or [f" {line}" for line in before]


def marked(text: str) -> Markup:
    """A preview's text, its changed lines in bold; as text it stays what it is."""
    lines = (
        Markup("<b>{}</b>").format(line) if line.lstrip()[:1] in tuple("+-~") else Markup("{}").format(line)
        for line in text.splitlines()
    )
    return Markup("\n").join(lines)


def seconds(value: float) -> str:
    """A duration to tenths, as everybody says it."""
    return f"{value:.1f} s"


def moment(value: float) -> str:
    """Seconds since the epoch, as a date."""
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"


def size(value: float) -> str:
    """Bytes in the largest unit of which there is one."""
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == UNITS[0] or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError
