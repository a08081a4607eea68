"""A check: what is looked for on one server, why it matters, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Callable, Dict, List, Optional, Tuple

from agent.check_names import CheckName
from agent.checks.sight import Sight
from agent.report import Refusal


class Severity(str, Enum):
    """What a finding means for the move to readonly."""

    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"


class Side(str, Enum):
    """What a server is to the upgrade."""

    OLD_PRIMARY = "old primary"
    OLD_REPLICA = "old replica"
    TARGET = "DB_A"
    NEW_REPLICA = "new replica"
    SERVER = "server"  # of the application: its hosts file names the databases


OLD_DATABASES = (Side.OLD_PRIMARY, Side.OLD_REPLICA)


class Unseen(Exception):
    """Why something could not be looked at: a sentence. It is said, and stops nothing."""


@dataclass(frozen=True)
class Check:
    """`look` tells what it found, a sentence each, or nothing. It raises Unseen over what cannot be looked at here and now.

    `do` says what helps, as an order to a person; it ends without a full stop, as `why` does. One that is `long` takes seconds, and
    is made beside the others.
    """

    name: CheckName
    severity: Severity
    sides: Tuple[Side, ...]
    why: str
    do: str
    look: Callable[[Sight], List[str]]
    long: bool = False


@dataclass(frozen=True)
class Result:
    """What became of a check on a server: `found` is empty if nothing is wrong, `unseen` says why it was not made."""

    check: Check
    found: List[str]
    unseen: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """As scripts.preflight reads it."""
        check = self.check
        told: Dict[str, Any] = {
            "name": check.name.value,
            "severity": check.severity.value,
            "why": check.why,
            "do": check.do,
        }
        return {**told, "found": self.found, **({"unseen": self.unseen} if self.unseen is not None else {})}


def make(check: Check, sight: Sight) -> Result:
    """Make one check. Nothing that is missing or broken on the server ends the others."""
    try:
        return Result(check, check.look(sight))
    except Exception as wrong:  # whatever it is, the others are to be made
        return Result(check, [], why_unseen(wrong))


def why_unseen(wrong: Exception) -> str:
    """Why something is not known, in a sentence. Pure."""
    if isinstance(wrong, Unseen):
        return str(wrong)
    what = f"{wrong.expected}: {wrong.found}" if isinstance(wrong, Refusal) else f"{type(wrong).__name__}: {wrong}"
    return f"could not be looked at: {what}"
