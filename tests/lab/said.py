"""What an `up` said it did."""

from __future__ import annotations

import re

_DONE = re.compile(r"^\s*[+~]+\s+command:\S+ (?P<step>\S+) (?:created|updated|replaced) \([\d.]+s\)", re.MULTILINE)


def steps(said: str) -> list[str]:
    """The steps that ran, by name."""
    return [one["step"] for one in _DONE.finditer(said)]
