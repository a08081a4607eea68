"""Blocks of pgleap's own in files that others write, too: found wherever they stand, by their first line and their last. Pure."""

from __future__ import annotations

from typing import List, NoReturn, Tuple

from agent.report import Refusal


def cut(text: str, begin: str, end: str) -> Tuple[List[str], str]:
    """Every block from a line `begin` to a line `end`, and the text without them, in which every other byte stays.

    Others edit around a block: it may no longer be the first, stand there twice, or have other line ends. Raises Refusal if one lacks its
    first line or its last: which of the lines there are pgleap's is then not to be told.
    """
    blocks: List[str] = []
    rest: List[str] = []
    inside: List[str] = []
    for number, line in enumerate(_lines(text), 1):
        plain = line.rstrip()
        if plain == begin.rstrip():
            if inside:
                _refuse(begin, end, f"a second first line, line {number}, before the block's end")
            inside = [line]
        elif plain == end.rstrip():
            if not inside:
                _refuse(begin, end, f"a last line without a first one, line {number}")
            blocks.append("".join([*inside, line]))
            inside = []
        else:
            (inside or rest).append(line)
    if inside:
        _refuse(begin, end, "a first line without a last one")
    return blocks, "".join(rest)


def _lines(text: str) -> List[str]:
    """The lines with their ends. Not str.splitlines, which ends a line at a form feed, too."""
    *whole, last = text.split("\n")
    return [f"{line}\n" for line in whole] + ([last] if last else [])


def _refuse(begin: str, end: str, found: str) -> NoReturn:
    raise Refusal(
        "pgleap's block in pg_hba.conf and pg_ident.conf whole, or none",
        f"{found} (from {begin.rstrip()!r} to {end.rstrip()!r})",
        "take what is left of the block out of the file, its comment lines too, then run `pulumi up` again",
    )
