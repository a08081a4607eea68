"""How findings are worded: few sentences, amounts that a person reads at a glance. Pure."""

from __future__ import annotations

from typing import List, Sequence

MOST = 20


def few(found: Sequence[str]) -> List[str]:
    """The first twenty, and how many more there are."""
    return [*found[:MOST], f"and {len(found) - MOST} more"] if len(found) > MOST else list(found)


def amount(count: float) -> str:
    """A number of bytes."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


def one_line(text: str, most: int = 80) -> str:
    """A statement's beginning, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 3]}..."


def listed(names: Sequence[str], at_most: int = 5) -> str:
    """Names in a sentence."""
    return ", ".join(names[:at_most]) + (f" and {len(names) - at_most} more" if len(names) > at_most else "")
