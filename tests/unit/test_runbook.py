"""docs/runbook.md: every message that it is searched by is one that the program says, and stands where the table sends its reader."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from agent.states import Phase

REPOSITORY = Path(__file__).parents[2]
RUNBOOK = (REPOSITORY / "docs" / "runbook.md").read_text()
RECOVERY = (REPOSITORY / "docs" / "recovery.md").read_text()
HOLE = "\N{HORIZONTAL ELLIPSIS}"
ROW = re.compile(r'^\| "(.+?)" \| .+ \| \[.+?\]\((.*?)#(.+?)\) \|$', re.MULTILINE)


def sections(text: str, level: int) -> dict[str, str]:
    """What stands below each heading of a level, up to the next one of it."""
    parts = re.split(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


TABLE = sections(RUNBOOK, 2)["Troubleshooting by message"]
ROWS = ROW.findall(TABLE)


@cache
def said() -> str:
    """Every text of the program's, with a hole for what is filled in, one a line."""
    files = [
        file for folder in ("agent", "components", "scripts") for file in sorted((REPOSITORY / folder).rglob("*.py"))
    ]
    return "\n".join(text(node) for file in files for node in ast.walk(ast.parse(file.read_text())))


def text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
    return ""


def test_every_row_of_the_table_is_read() -> None:
    """A row that the tests below do not understand would be held to nothing."""
    assert len(ROWS) == TABLE.count("\n| ") - 1  # but for the heads; the line beneath them begins otherwise
    assert len(ROWS) > 10


@pytest.mark.parametrize("message", [row[0] for row in ROWS])
def test_a_message_is_one_that_the_program_says(message: str) -> None:
    """Who searches the page for what stands on the screen finds nothing, and takes it for something else."""
    assert message in said()


@pytest.mark.parametrize(("message", "to"), [(row[0], row[2]) for row in ROWS if row[1] == "recovery.md"])
def test_recovery_tells_more_of_it_where_the_table_says(message: str, to: str) -> None:
    """A link to another part of a long page is advice for another case."""
    there = {anchor(heading): text for heading, text in sections(RECOVERY, 2).items()}[to]
    assert message in re.sub(r"\s+", " ", there)


def test_every_phase_says_all_that_it_must() -> None:
    """A phase without its way back is found out when that is wanted."""
    phases = sections(sections(RUNBOOK, 2)["The phases"], 3)
    assert list(phases) == [f"`{phase}`" for phase in Phase]
    for phase, told in zip(Phase, phases.values(), strict=True):
        assert re.findall(r"^- \*\*(.+?)\*\*", told, re.MULTILINE) == [
            "Type",
            "The preview shows",
            "Look at",
            "In rehearsal",
            "Back",
        ]
        assert f"phase {phase}" in told
        assert f"<!-- figures: took {phase} -->" in told
