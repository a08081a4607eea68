"""docs/preflight.md's table, from the checks themselves: `python -m tests.preflight.page` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.check_names import CheckName
from agent.checks import catalogue
from agent.checks.check import Side
from scripts.preflight import fleet

PAGE = Path(__file__).parents[2] / "docs" / "preflight.md"
BEGIN = "<!-- From here on written by `python -m tests.preflight.page`. -->\n"


class Told(NamedTuple):
    """A check, wherever it is made."""

    name: CheckName
    severity: str
    sides: tuple[str, ...]
    why: str
    do: str


def checks() -> list[Told]:
    """All there are, in the order in which they are told."""
    made = [
        Told(one.name, one.severity.value, tuple(side.value for side in one.sides), one.why, one.do)
        for one in catalogue.of(*Side)
    ]
    made += [Told(one.name, one.severity.value, one.sides, one.why, one.do) for one in fleet.ALL]
    return sorted(made, key=lambda one: list(CheckName).index(one.name))


def table() -> str:
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield "| check | severity | looked at on | why it matters | what to do |"
    yield "|---|---|---|---|---|"
    for one in checks():
        words = (_cell(one.why), _cell(one.do))
        yield f"| {one.name.value} | {one.severity} | {', '.join(one.sides)} | {' | '.join(words)} |"


def _cell(text: str) -> str:
    """A bar would end the cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def page() -> str:
    """The page as it has to be: what people wrote above, the table below."""
    return PAGE.read_text().split(BEGIN, 1)[0] + BEGIN + "\n" + table()


if __name__ == "__main__":
    PAGE.write_text(page())
