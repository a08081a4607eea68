"""The command, once its options are read: the window or its dry run, and the exit status that tells how it went."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from agent.states import Phase
from components.config_errors import SettingsError
from scripts.forecast.forecast import Forecast
from scripts.window import NOTHING_DONE, deadlines, dry_run
from scripts.window.course import BACK, NoWayError
from scripts.window.engine import EngineError, Reading
from scripts.window.screen import Screen
from scripts.window.window import OpenStack, Window

NEEDS_A_PERSON = 3


def run(
    reading: Reading, began: float, *, back: bool, preview: bool, deadlines_given: Sequence[str], over_budget: bool
) -> int:
    """Do what is asked; the exit status. `began`: when the command did, by the monotonic clock. `over_budget`: it may begin although a bad
    case exceeds the stack's outageBudget."""
    screen = Screen(began)
    try:
        given = deadlines.read(deadlines_given)
        stack = OpenStack.of(reading, back)
        found: Forecast | None = None
        # Of a window that goes on, writes are refused already: nothing is asked first.
        if stack.course(back).phase is Phase.READONLY:
            # It imports what asks the servers, a third of a second that the way back does not have.
            from scripts.window import permission  # noqa: PLC0415

            permission.refuse_unsafe_state(stack)
            found = permission.shown(stack, screen)
            if not preview:
                permission.refuse_over_budget(found, stack.settings.outage_budget, over=over_budget)
        return dry_run.show(stack, screen, back) if preview else Window(stack, given, found, screen).go(back)
    except (NoWayError, SettingsError, EngineError, deadlines.DeadlineError) as error:
        screen.say(str(error), "red")
        return NOTHING_DONE
    except Exception:  # a status of 1 would say that it went back
        traceback.print_exc()
        screen.say(f"Expected: anything but this. Where the fleet stands is not known.\nTo do: {BACK}", "red")
        return NEEDS_A_PERSON
