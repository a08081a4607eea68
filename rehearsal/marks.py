"""A part of a page between two marks, made anew. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def between(page: str, name: str, begin: str, end: str, lines: Sequence[str]) -> str:
    """The page with `lines` between the two. `name` is what the page is called. Raises ValueError if it has no place for them."""
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"expected {begin} and {end} in {name}")
    return "\n".join([f"{before}{begin}", *lines, f"{end}{after}"])
