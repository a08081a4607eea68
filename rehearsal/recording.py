"""One move as it is recorded for the report: its preview, its `up`, and each step as the engine's events tell of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rehearsal.engine.project import LineHeard, Outcome, Pulumi
from rehearsal.report.model import Move, Preview, Step
from scripts.window.clock import Heard, What
from scripts.window.events import heard, stream


def preview(pulumi: Pulumi, show: Callable[[str], None]) -> Preview:
    """What an operator reads before the `up`. Raises CommandFailedError."""
    began = time.time()
    text = pulumi.preview().checked().stdout
    ended = time.time()
    for line in text.splitlines():
        show(line)
    # Where the checkout lies is of this machine, and nobody else's business.
    return Preview(began=began, ended=ended, text=text.replace(str(pulumi.project), "."))


def up(pulumi: Pulumi, phase: str, read: Preview, on_line: LineHeard) -> tuple[Outcome, Move]:
    """The `up` itself. The engine's events come over a pipe, as they happen: in its log they have whole seconds.

    What it came to is the Outcome's to say: a move that failed is recorded too.
    """
    words: list[Heard] = []
    began = time.time()
    events = stream(lambda event: words.extend(filter(None, [heard(time.time(), event)])))
    outcome = pulumi.up(on_line=on_line, events=events)
    events.hear_out()
    return outcome, Move(phase=phase, preview=read, began=began, ended=began + outcome.seconds, steps=steps(words))


def steps(words: Iterable[Heard]) -> list[Step]:
    """The steps that the words tell of, by their beginning; `at` is taken for what it is given as. Pure."""
    begun: dict[str, float] = {}
    found = []
    for word in words:
        if word.what is What.BEGAN:
            begun[word.step] = word.at
        elif word.what in (What.DONE, What.FAILED) and word.step in begun:
            # A failure is told twice, by an event and by a diagnostic: the first one counts.
            failed = word.what is What.FAILED
            found.append(Step(name=word.step, began=begun.pop(word.step), ended=word.at, failed=failed))
    found += [Step(name=name, began=since, ended=None) for name, since in begun.items()]
    return sorted(found, key=lambda step: step.began)
