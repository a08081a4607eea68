"""What became of one check on the fleet, and the checks that are made by whoever sees all servers. As agent/checks/check.py has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.check_names import CheckName
from components.settings import Settings
from scripts.fleet_ssh import Answer
from scripts.preflight.balancing import Balancing


class Severity(StrEnum):
    """The worst first."""

    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"


@dataclass
class Outcome:
    """`looked` are the servers on which it was made, `found` a server's sentences, `unseen` why it was not made on one."""

    looked: list[str] = field(default_factory=list)
    found: dict[str, list[str]] = field(default_factory=dict)
    unseen: dict[str, str] = field(default_factory=dict)
    # What was found is no worse than this, whatever the check's own severity says.
    mildest: Severity | None = None

    def fine(self, server: str) -> None:
        """It was made there."""
        if server not in self.looked:
            self.looked.append(server)

    def finds(self, server: str, sentence: str) -> None:
        self.fine(server)
        self.found.setdefault(server, []).append(sentence)


@dataclass(frozen=True)
class Said:
    """What a server answered, as far as it can be understood. `clock` is its time when the agent had ended, `took` how long it ran;
    without `checks`, `why` says why there are none."""

    answer: Answer
    checks: list[dict[str, Any]]
    seen: Mapping[str, Any]
    clock: float | None = None
    took: float = 0.0
    why: str = ""
    # What came on its standard output beside the answer.
    strange: str = ""

    @property
    def reached(self) -> bool:
        return self.answer.status is not None or bool(self.checks)

    def fact(self, name: str) -> Any:
        """A fact, None if it could not be seen."""
        found = self.seen.get(name)
        return None if isinstance(found, Mapping) and "unseen" in found else found

    def unseen(self, name: str) -> str:
        """Why a fact could not be seen."""
        found = self.seen.get(name)
        return str(found["unseen"]) if isinstance(found, Mapping) and "unseen" in found else self.why or "not told"


@dataclass(frozen=True)
class Fleet:
    """All that was seen: `said` by server; the bastion's own answer; AWS's. `made` is whether the stack ever finished an `up`.
    `backend` is where its state is kept, or `backend_unseen` says why that is not known."""

    settings: Settings
    said: Mapping[str, Said]
    made: bool = True
    bastion: Answer | None = None
    balancing: Balancing | None = None
    backend: str = ""
    backend_unseen: str = ""


@dataclass(frozen=True)
class FleetCheck:
    """A check over all servers. `look` is pure."""

    name: CheckName
    severity: Severity
    sides: tuple[str, ...]
    why: str
    do: str
    look: Callable[[Fleet], Outcome]
