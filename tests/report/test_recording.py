"""Steps as the engine's events tell of them."""

from __future__ import annotations

from rehearsal.recording import steps
from scripts.window.clock import Heard, What


def test_steps_have_their_own_times() -> None:
    """Two steps side by side must not be given each other's end."""
    found = steps([
        Heard(1.0, "a", What.BEGAN), Heard(1.5, "b", What.BEGAN), Heard(2.0, "b", What.DONE), Heard(1.7, "a", What.SAID, "x"),
        Heard(4.0, "a", What.DONE),
    ])  # fmt: skip
    assert [(one.name, one.began, one.ended, one.failed) for one in found] == [
        ("a", 1.0, 4.0, False), ("b", 1.5, 2.0, False)
    ]  # fmt: skip


def test_a_failure_that_is_told_twice_is_one_step() -> None:
    """The engine tells of a failure by an event and by a diagnostic, in either order."""
    found = steps([Heard(1, "a", What.BEGAN), Heard(2, "a", What.FAILED, "why"), Heard(2.1, "a", What.FAILED)])
    assert [(one.name, one.ended, one.failed) for one in found] == [("a", 2, True)]


def test_a_step_that_never_ended_is_not_left_out() -> None:
    """The step in which an engine died is the one that everybody looks for."""
    (found,) = steps([Heard(1, "a", What.BEGAN), Heard(2, "", What.FAILED, "killed")])
    assert (found.name, found.ended, found.seconds) == ("a", None, None)
