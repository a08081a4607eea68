"""What is said at the end: seconds per phase and step, how long writes were refused, where the fleet stands, how to go on."""

from __future__ import annotations

from collections.abc import Sequence

from agent import advice
from agent.states import Phase
from scripts.window.clock import Clock
from scripts.window.course import BACK, Course, End
from scripts.window.record import Record

# Steps shorter than this are told together.
SHORT_SECONDS = 0.5
EXIT_STATUS = {End.CUTOVER: 0, End.BACK: 1, End.NOTHING: 2, End.OPENED: 3, End.HALF_BACK: 3, End.STUCK: 3}


def seconds(records: Sequence[Record]) -> list[str]:
    """Each `up` with its steps."""
    lines = []
    for record in records:
        lines.append(f"{record.course.phase}, round {record.course.round}: {record.seconds:.1f} s")
        long = {step: spent for step, spent in record.steps.items() if spent >= SHORT_SECONDS}
        lines += [f"    {step}: {spent:.2f} s" for step, spent in long.items()]
        short = len(record.steps) - len(long)
        if short:
            lines.append(f"    {short} {'step' if short == 1 else 'steps'} under {SHORT_SECONDS} s each")
    return lines


def outage(clock: Clock, now: float, began: float, old_primary: str) -> list[str]:
    """How long writes were refused. `began`: when the command did."""
    lines = []
    refused = clock.seconds_refused(now)
    if clock.refused is None:
        lines.append(
            f"{old_primary} never refused a write." if clock.accepted is None else _since_start(clock.accepted - began)
        )
    elif clock.accepted is None:
        lines.append(f"Writes have been refused for {refused:.1f} s, and still are as far as the steps tell.")
    else:
        lines.append(
            f"Writes were refused for {refused:.1f} s: from the seal to the first online server that a hosts file led"
            " to the database that takes them."
        )
    led_away = clock.seconds_led_away(now)
    if led_away is not None:
        until = (
            "now"
            if clock.accepted_by_all is None
            else "all lead to the one that takes writes and their idle sessions elsewhere are ended"
        )
        lines.append(
            f"From the first online server led to a database that only reads, until {until}: {led_away:.1f} s."
        )
    return [*lines, "This is the operator's view, by the steps; clients see what their pools and time-outs make of it."]


def _since_start(spent: float) -> str:
    return f"Writes were accepted {spent:.1f} s after this command began: the first online server led to the database that takes them."


def cutover_round(course: Course) -> int:
    """The round in which cutover goes on: a higher one if the servers have heard of a way back."""
    return course.round if course.phase is Phase.CUTOVER else advice.higher(course.round)


def standing(end: End, course: Course, old_primary: str, target: str) -> list[str]:
    """Where the fleet stands, and what a person has to do. `course`: the last `up` that ran."""
    set_ = advice.to(Phase.CUTOVER, cutover_round(course))
    return {
        End.CUTOVER: [f"The fleet stands in cutover: {target} takes the writes."],
        End.BACK: [
            f"The fleet stands in prepare, round {course.round}: {old_primary} takes the writes, as before the window."
        ],
        End.NOTHING: ["Nothing was done: the fleet and the stack's config are as they were."],
        End.OPENED: [
            f"{target} is open and takes the writes. Nothing goes back by itself from here on.",
            f"To do: mend what is said above, then go on with cutover: {set_}",
            f"Or go back; {old_primary} follows {target}, and `python -m scripts.status` says whether that loses nothing: {BACK}",
            f"Or go back and lose what is named: pulumi config set acceptDataLoss true && {BACK}",
        ],
        End.HALF_BACK: [
            f"{old_primary} takes writes again, but the way back to prepare is not finished; see what failed above.",
            "Servers whose hosts file was not put back still lead to a database that only reads.",
            f"To do: mend it, then: {BACK}",
        ],
        End.STUCK: [
            "The way back did not succeed, and writes may still be refused.",
            f"To do: mend what is said above, then: {BACK}",
            *([f"Or have {target} take writes again, if it had: {set_}"] if course.over_upgrade else []),
            "Who may write is in /var/lib/pgleap/journal.json on both servers; docs/recovery.md goes through every refusal.",
        ],
    }[end]
