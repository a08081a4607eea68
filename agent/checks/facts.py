"""What of a server only means something beside the others: read here, compared by scripts.preflight."""

from __future__ import annotations

from typing import Any, Callable, Dict

from agent.checks.sight import Sight
from agent.report import Refusal

# By name: what is looked at on which sides.
Look = Callable[[Sight], Any]


def seen(sight: Sight) -> Dict[str, Any]:
    """Each fact by its name; `{"unseen": why}` in the place of one that could not be read."""
    return {name: _of(look, sight) for name, look in LOOKS.items()}


def _of(look: Look, sight: Sight) -> Any:
    try:
        return look(sight)
    except Refusal as refused:
        return {"unseen": f"{refused.expected}: {refused.found}"}
    except (OSError, ValueError, TypeError, KeyError, IndexError) as wrong:
        return {"unseen": f"{type(wrong).__name__}: {wrong}"}


def _clock(sight: Sight) -> float:
    return sight.server.now()


LOOKS: Dict[str, Look] = {"clock": _clock}
