"""How a step on the operator's machine speaks: as the agent does on the servers (agent/report.py), of which scripts share its states only."""

from __future__ import annotations

from typing import Any

Facts = dict[str, Any]
# A single output line over 64 KiB hangs the pulumi-command provider for ever; this leaves room for quoting.
LONGEST_LINE = 16_000


class Refusal(Exception):  # noqa: N818 - as the agent calls it
    """The step will not go on: what was expected, what was found, what to do. Nothing was changed beyond what is said."""

    def __init__(self, expected: str, found: str, do: str) -> None:
        self.expected = expected
        self.found = found
        self.do = do
        super().__init__(f"refused. Expected: {expected}. Found: {found}. To do: {do}")
