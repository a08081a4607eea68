"""The command, once its options are read: the window or its dry run, and the exit status that tells how it went."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from components.config_errors import SettingsError
from scripts.window import NOTHING_DONE, deadlines, dry_run
from scripts.window.course import NoWayError
from scripts.window.engine import EngineError, Reading
from scripts.window.screen import Screen
from scripts.window.summary import BACK
from scripts.window.window import OpenStack, Window

NEEDS_A_PERSON = 3


def run(reading: Reading, began: float, *, back: bool, preview: bool, deadlines_given: Sequence[str]) -> int:
    """Do what is asked; the exit status. `began`: when the command did, by the monotonic clock."""
    screen = Screen(began)
    try:
        given = deadlines.read(deadlines_given)
        stack = OpenStack.of(reading)
        return dry_run.show(stack, screen, back) if preview else Window(stack, given, screen).go(back)
    except (NoWayError, SettingsError, EngineError, deadlines.DeadlineError) as error:
        screen.say(str(error), "red")
        return NOTHING_DONE
    except Exception:  # a status of 1 would say that it went back
        traceback.print_exc()
        screen.say(f"Expected: anything but this. Where the fleet stands is not known.\nTo do: {BACK}", "red")
        return NEEDS_A_PERSON
