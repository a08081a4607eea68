"""What one `up` of the window did, as its steps told it. Pure: it is told what happened, and when."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.states import Phase
from scripts.window import course
from scripts.window.clock import Heard, Steps, What
from scripts.window.course import Course, Ending, Ran, Refused
from scripts.window.deadlines import NO_STEP, Deadlines


@dataclass
class Record:
    """What one `up` did. `steps`: seconds by name, of those that are done, and `spans` when each of them began and ended; `errors` as they
    were told."""

    course: Course
    began: float
    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    under_way: dict[str, float] = field(default_factory=dict)
    quiet_since: float = 0.0
    begun: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    told: bool = False

    def hear(self, word: Heard) -> None:
        if word.what is What.BEGAN:
            self.begun.add(word.step)
            self.under_way[word.step] = word.at
        elif word.what in (What.DONE, What.FAILED):
            since = self.under_way.pop(word.step, None)
            if word.what is What.DONE:
                self.done.add(word.step)
                self.spans[word.step] = (since if since is not None else word.at, word.at)
                self.steps[word.step] = word.at - self.spans[word.step][0]
            elif word.text:
                self.errors.append(f"{word.step}: {word.text}" if word.step else word.text)

    def late(self, now: float, deadlines: Deadlines) -> str | None:
        """What is past its deadline, in words; None if nothing is."""
        for step, since in self.under_way.items():
            limit = deadlines.of(step, self.course.phase)
            if now - since > limit:
                return f"{step} has been under way for {limit:g} s, its deadline"
        if not self.under_way and now - self.quiet_since > NO_STEP:
            return f"the engine has begun no step for {NO_STEP:g} s"
        return None

    def ran(self, ending: Ending, steps: Steps) -> Ran:
        """What the course is decided from."""
        phase = self.course.phase
        return Ran(
            ending=ending,
            # Of an engine that was ended we may not have heard everything.
            begun=bool(self.begun) or (self.told and ending in (Ending.INTERRUPTED, Ending.LATE)),
            upgraded=phase is Phase.CUTOVER and steps.database in self.done,
            release_begun=phase is Phase.CUTOVER and steps.primary_gate in self.begun,
            target_opened=phase is Phase.CUTOVER and steps.target_gate in self.done,
            primary_opened=phase is Phase.PREPARE and steps.primary_gate in self.done,
            refused=course.understood("\n".join(self.errors)) if ending is not Ending.DONE else Refused.NOTHING_KNOWN,
        )
