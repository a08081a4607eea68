"""The figures as lines of Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable

from rehearsal.bench.fleets.found import Command, Fleets, Size


def table(found: Fleets) -> list[str]:
    """Three tables: the commands, what they used, and the state in a bucket; and a sentence on how they grow."""
    lines = [
        f"Seconds, medians of {found.runs}; each simulated server answers a step after {found.answer_seconds * 1000:.0f} ms.",
        "",
        *_table(
            (
                "servers",
                "resources",
                "state, MB",
                "`preview`",
                "`up` without changes",
                "`up`, prepare → readonly",
                "steps",
            ),
            found,
            lambda size: (
                _count(size.resources),
                f"{size.state_bytes / 1e6:.1f}",
                *(f"{command.seconds:.1f} ({_each(command, size)})" for command in (size.preview, size.no_op, size.up)),
                _count(size.up.steps),
            ),
        ),
        "",
        "In parentheses: milliseconds for each server.",
    ]
    if found.growth is not None:
        growth, last = found.growth, _count(found.sizes[-1].servers)
        ratios = f"`preview` {growth.preview:.2f}, `up` without changes {growth.no_op:.2f}, `up` {growth.up:.2f}"
        lines += ["", f"Growth up to {last} servers, 1 being linear: {ratios}."]
    return [*lines, "", *_used(found), "", *_remote(found)]


def _used(found: Fleets) -> list[str]:
    return [
        "What the `up` used: memory at its highest, and processor time. The stand-ins take the place of the real plugins.",
        "",
        *_table(
            ("servers", "engine, MiB", "program, MiB", "engine, s", "program, s", "stand-ins, s"),
            found,
            lambda size: (
                f"{size.up.engine.memory_mib:.0f}",
                f"{size.up.program.memory_mib:.0f}",
                *(f"{one.processor_seconds:.1f}" for one in (size.up.engine, size.up.program, size.up.stand_ins)),
            ),
        ),
    ]


def _remote(found: Fleets) -> list[str]:
    return [
        f"The same `up` with its state in a bucket that takes {found.write_seconds * 1000:.0f} ms for a write:",
        "",
        *_table(
            ("servers", "with checkpoints, s", "writes of the state", "without, s", "writes of the state"),
            found,
            lambda size: (
                f"{size.checkpoints.seconds:.1f}",
                _count(size.checkpoints.state_writes),
                f"{size.no_checkpoints.seconds:.1f}",
                _count(size.no_checkpoints.state_writes),
            ),
        ),
    ]


def _table(heads: tuple[str, ...], found: Fleets, row: Callable[[Size], tuple[str, ...]]) -> list[str]:
    rows = [(_count(size.servers), *row(size)) for size in found.sizes]
    return [_row(heads), _row(tuple("---:" for _ in heads)), *(_row(cells) for cells in rows)]


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _each(command: Command, size: Size) -> str:
    return f"{command.seconds / size.servers * 1000:.0f}"


def _count(number: int) -> str:
    return f"{number:,}"
