"""docs/performance.md's tables and README's sentence, from what the bench found. Pure but for `write`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from rehearsal.bench.model import FLOOR, THREE_UPS, WINDOW, WindowBench
from rehearsal.marks import between

# Parts of a window shorter than this are told together.
SHORT_SECONDS = 0.1


# What a page says, by its place there.
Parts = Mapping[str, Sequence[str]]


def with_parts(page: str, name: str, parts: Parts) -> str:
    """The page, which is called `name`, with each part that there is made anew. Raises ValueError if it has no place for one."""
    for part, lines in parts.items():
        page = between(page, name, f"<!-- bench: {part} -->", f"<!-- end of {part} -->", lines)
    return page


def write(found: BaseModel, file: Path, pages: Mapping[Path, Parts]) -> None:
    """Keep it, and make the pages' parts anew."""
    file.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    for page, parts in pages.items():
        page.write_text(with_parts(page.read_text(encoding="utf-8"), page.name, parts), encoding="utf-8")


def summary(found: WindowBench) -> list[str]:
    """The outage beside the one by hand, for README."""
    each = [
        f"{one.of(WINDOW).median:.1f} s with {one.shape} (by hand {one.of(FLOOR).median:.1f} s)" for one in found.shapes
    ]
    return [
        "On the same data and machine, beside an expert's shell script that proves nothing and has no way back, `scripts.window` refused",
        f"writes for {', '.join(each)}: medians of {found.runs} runs, as the clients saw it.",
    ]


def windows(found: WindowBench) -> list[str]:
    """The outage by each way; then what scripts.window's is made of."""
    rows = [
        "| data | databases | relations | by hand: the floor | `scripts.window` | above the floor | three `pulumi up` | times the floor: window, three |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found.shapes:
        by = {way: one.of(way) for way in (FLOOR, WINDOW, THREE_UPS)}
        each = {
            way: f"{outages.median:.1f} s ({', '.join(f'{seconds:.1f}' for seconds in outages.seconds)})"
            for way, outages in by.items()
        }
        times = ", ".join(f"{one.ratio(way, FLOOR):.2f}" for way in (WINDOW, THREE_UPS))
        rows.append(
            f"| {one.shape} | {one.databases} | {one.relations:,} | {each[FLOOR]} | {each[WINDOW]} |"
            f" **{one.above(WINDOW, FLOOR):+.1f} s** | {each[THREE_UPS]} | {times} |"
        )
    writes = sum(one.writes for one in found.shapes)
    said = (
        f"The median of {found.runs} runs each, and each run; all servers on one machine. All {writes:,} acknowledged writes of these runs"
        " were found again."
    )
    rows += ["", said, "", *_parts(found)]
    return rows


def _parts(found: WindowBench) -> list[str]:
    """Each part of the window's outage that is long anywhere, by shape: what waits for what, laid out as docs/forecast.md says."""
    by_shape = [one.of(WINDOW).parts for one in found.shapes]
    names = [
        name
        for name in dict.fromkeys(name for parts in by_shape for name in parts)
        if any(parts.get(name, 0.0) >= SHORT_SECONDS for parts in by_shape)
    ]
    rows = [
        f"| `scripts.window` waits for | {' | '.join(one.shape for one in found.shapes)} |",
        "|---" * (len(by_shape) + 1) + "|",
    ]
    for name in names:
        rows.append(f"| {name} | {' | '.join(f'{parts.get(name, 0.0):.2f} s' for parts in by_shape)} |")
    rest = [sum(seconds for name, seconds in parts.items() if name not in names) for parts in by_shape]
    return [*rows, f"| all else | {' | '.join(f'{seconds:.2f} s' for seconds in rest)} |"]
