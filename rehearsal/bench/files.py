"""The files that the bench writes, and the commit that its figures are of."""

from __future__ import annotations

from pathlib import Path

from rehearsal import facts
from rehearsal.lab.place import REPOSITORY

RESULTS = Path(__file__).with_name("results.json")
PAGE = REPOSITORY / "docs" / "performance.md"
README = REPOSITORY / "README.md"


def commit() -> str | None:
    """As facts.commit has it. What the part before has just written changes nothing of what the next one measures."""
    return facts.commit(besides=(RESULTS, PAGE, README))
