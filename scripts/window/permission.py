"""Before the window begins: the forecast is shown, and held against the stack's outageBudget."""

from __future__ import annotations

from agent.check_names import CheckName
from scripts import backend
from scripts.forecast import words
from scripts.forecast.before import before
from scripts.forecast.counts import CountsError
from scripts.forecast.forecast import Forecast
from scripts.window.course import NoWayError
from scripts.window.screen import Screen
from scripts.window.window import OpenStack

OVER = "--over-budget"


def refuse_unsafe_state(stack: OpenStack) -> None:
    """Raises NoWayError where a killed engine could leave a state that nobody reads, unless that is accepted as preflight's check is."""
    if CheckName.STATE in stack.settings.preflight.accept:
        return
    try:
        url = backend.address(stack.engine.project)
    except backend.BackendError as error:
        raise NoWayError(f"Expected: a backend that can be asked. Found: {error}\nTo do: pulumi login") from None
    if backend.in_files_with_metadata(url):
        raise NoWayError(backend.refusal(url))


def shown(stack: OpenStack, screen: Screen) -> Forecast | None:
    """The forecast, shown; None, with the reason shown, if there is none."""
    try:
        found, _ = before(stack.settings, stack.engine.project)
    except (CountsError, OSError) as error:
        screen.warn(f"There is no forecast. {error}")
        return None
    screen.say(words.headline(found), "bold")
    for line in words.rests_on(found):
        screen.say(line)
    return found


def refuse_over_budget(found: Forecast | None, budget: int | None, *, over: bool) -> None:
    """Raises NoWayError if the outageBudget does not allow the window to begin. `over`: a bad case, or an unknown one, is allowed."""
    if budget is None:
        return
    expected = f"Expected: a forecast within the outageBudget of {budget} s."
    if found is None:
        if not over:
            raise NoWayError(f"{expected} Found: none.\nTo do: see above; or begin without one: {OVER}")
        return
    if found.median > budget:
        raise NoWayError(
            f"{expected} Found: about {found.median:.0f} s, so that the window would go back as soon as it has begun.\n"
            "To do: python -m scripts.forecast shows which part it is; or pulumi config set outageBudget <seconds>"
        )
    if found.bad > budget and not over:
        raise NoWayError(
            f"{expected} Found: about {found.median:.0f} s, in a bad case {found.bad:.0f} s.\n"
            f"To do: python -m scripts.forecast shows which part it is; or begin all the same, and go back if it comes to it: {OVER}"
        )
