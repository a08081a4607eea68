"""A server's memory."""

from __future__ import annotations

from typing import Dict

from agent.checks.check import Unseen
from agent.checks.sight import Sight


def memory(sight: Sight) -> Dict[str, int]:
    """/proc/meminfo: in bytes, but for the counts of huge pages. Raises Unseen."""
    text = sight.text("/proc/meminfo")
    if text is None:
        raise Unseen("there is no /proc/meminfo here")
    words = [line.replace(":", "").split() for line in text.splitlines()]
    return {word[0]: int(word[1]) * (1024 if len(word) > 2 else 1) for word in words if len(word) > 1}
