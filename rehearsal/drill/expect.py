"""How a drill says that something is not as it must be."""

from __future__ import annotations

import time
from collections.abc import Callable


class WrongError(AssertionError):
    """A drill did not go as it must; the message says what was expected and what was found."""


def expect(holds: object, otherwise: str) -> None:
    """Raises WrongError with the sentence, unless it holds."""
    if not holds:
        raise WrongError(otherwise)


def until(holds: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Wait for it. Raises WrongError after `seconds`; `what` completes "expected ... within"."""
    deadline = time.monotonic() + seconds
    while not holds():
        expect(time.monotonic() < deadline, f"expected {what} within {seconds:g} s, and it was not so")
        time.sleep(0.05)


def refusal(kind: type[Exception], act: Callable[[], object], what: str) -> str:
    """What is said when `act` is refused with this exception. Raises WrongError if it succeeds; `what` completes "expected a refusal of"."""
    try:
        act()
    except kind as refused:
        return str(refused)
    raise WrongError(f"expected a refusal of {what}, and it was done")
