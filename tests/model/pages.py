"""The commands of the pages that an operator has open at night."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
RECOVERY = REPOSITORY / "docs" / "recovery.md"
PAGES = [RECOVERY, REPOSITORY / "docs" / "runbook.md"]


def commands(page: Path) -> list[str]:
    """Each command line of ours on a page: in indented blocks, and in backticks."""
    text = page.read_text()
    found = re.findall(r"^ {4,}((?:pulumi|python -m) .*)$", text, re.MULTILINE)
    found += [re.sub(r"\s+", " ", one) for one in re.findall(r"`((?:pulumi|python -m) [^`]+)`", text)]
    return [one.split(" #")[0].strip() for one in found]
