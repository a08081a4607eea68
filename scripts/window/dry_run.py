"""--dry-run: what the window would do, and nothing done.

The engine previews the next phase. Those after it it cannot: the program refuses a move from a phase that is not finished, in
the preview as well. For these the plan is shown, the same sentences that the stack's output `plan` will hold.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from agent.states import Phase
from components.plan import plan
from components.settings import Settings
from scripts.window.course import FORWARD, Course, Way
from scripts.window.engine import EngineError
from scripts.window.screen import Screen
from scripts.window.window import OpenStack


def show(stack: OpenStack, screen: Screen, back: bool) -> int:
    """Show it; the exit status. Raises NoWayError, EngineError."""
    first = stack.course(back)
    screen.say(f"{first.phase}, round {first.round}: pulumi preview --diff", "bold")
    screen.say(_previewed(stack, first))
    for phase, round_ in _following(first):
        screen.say(
            f"\n{phase}, round {round_}: the plan (the engine previews it once {first.phase} is finished)", "bold"
        )
        for sentence in plan(Settings.from_config({**stack.raw, "phase": phase.value, "round": round_})):
            screen.say(f"  {sentence}")
    screen.say("\nNothing was done.")
    return 0


def _following(first: Course) -> list[tuple[Phase, int]]:
    if first.way is Way.FORWARD:
        return [(phase, first.round) for phase in FORWARD[FORWARD.index(first.phase) + 1 :]]
    return [(Phase.PREPARE, first.round + 1)] if first.phase is not Phase.PREPARE else []


def _previewed(stack: OpenStack, first: Course) -> str:
    """The engine's preview, from a copy of the stack's config that asks for the phase."""
    with tempfile.TemporaryDirectory() as folder:
        own = stack.engine.config_file()
        copy = Path(folder) / own.name
        shutil.copyfile(own, copy)
        result = stack.engine.preview(copy, first.phase, first.round)
    if result.returncode != 0:
        raise EngineError(f"The preview failed.\n{result.stdout}{result.stderr}")
    return result.stdout
