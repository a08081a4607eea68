"""What of a server only means something beside the others: read here, compared by scripts.preflight."""

from __future__ import annotations

from typing import Any, Callable, Dict

from agent.checks.check import Side, why_unseen
from agent.checks.memory import memory
from agent.checks.sight import Sight

Look = Callable[[Sight], Any]


def seen(sight: Sight) -> Dict[str, Any]:
    """Each fact by its name; None where the side has none, `{"unseen": why}` in the place of one that could not be read."""
    looks = LOOKS
    if Side(sight.desired["side"]) is not Side.SERVER:
        from agent.checks import database_facts  # noqa: PLC0415 - a server of the application is not to load it (catalogue.py)

        looks = {**LOOKS, **database_facts.LOOKS}
    return {name: _of(look, sight) for name, look in looks.items()}


def _of(look: Look, sight: Sight) -> Any:
    try:
        return look(sight)
    except Exception as wrong:  # whatever it is, the other facts are to be told
        return {"unseen": why_unseen(wrong)}


def _clock(sight: Sight) -> float:
    return sight.server.now()


def _memory_bytes(sight: Sight) -> int:
    return memory(sight)["MemTotal"]


LOOKS: Dict[str, Look] = {"clock": _clock, "memoryBytes": _memory_bytes}
