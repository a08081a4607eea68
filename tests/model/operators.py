"""An operator who types what is advised: the stack's config, and what `pulumi` and `scripts.window` make of it in the model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agent.states import Phase
from components.config_errors import SettingsError
from components.settings import Settings
from scripts.window import course
from scripts.window.course import Course, Ending, Finished, Ran
from tests.model.advised import Command
from tests.model.declared import raw
from tests.model.engine import Outcome
from tests.model.moves import Scene

# Where words of the program's own refuse: in the preview, or in the journals. All else is a fault of the world's.
ANNOUNCES = ("db1-announce", "db-a-announce")


@dataclass(frozen=True)
class Config:
    """What an operator sets of a stack's config."""

    phase: Phase
    round: int
    lost: frozenset[str] = field(default=frozenset())
    accepted: bool = False

    @property
    def without(self) -> str:
        """The variant of the fleet (see declared)."""
        if self.accepted:
            return "db-a given up" if self.lost else "given up"
        return " and ".join(f"{one} lost" for one in sorted(self.lost))

    def set_to(self, key: str, value: str) -> Config:
        """Raises AssertionError on a key that the model's operator does not know."""
        if key == "phase":
            return replace(self, phase=Phase(value))
        if key == "round":
            return replace(self, round=int(value))
        if key == "acceptDataLoss":
            return replace(self, accepted=value == "true")
        top, server, last = key.split(".")
        assert (top, last) == ("servers", "lost"), key
        return replace(self, lost=self.lost | {server} if value == "true" else self.lost - {server})


@dataclass
class Operator:
    """`refused` is what the preview or the journals said to the last `up` that they did not let begin."""

    scene: Scene
    config: Config
    refused: str = ""

    def type(self, line: list[Command]) -> Outcome | None:
        """A command line, until one of its commands fails. The last `up`, None if there was none."""
        outcome: Outcome | None = None
        for command in line:
            if command.what == "set":
                self.config = self.config.set_to(command.key, command.value)
            elif command.what == "rm":
                self.config = self.config.set_to(command.key, "")
            elif command.what == "window":
                return self.window_back() if command.back else None
            else:
                for key, value in command.settings:
                    self.config = self.config.set_to(key, value)
                outcome = self.up() if command.what == "up" else self.preview()
                if not outcome.arrived:
                    return outcome
        return outcome

    def preview(self) -> Outcome:
        """Whether the program would refuse; the servers are not asked."""
        wrong = self._mistakes()
        if wrong:
            self.refused = wrong
        return Outcome(refused=wrong)

    def up(self) -> Outcome:
        wrong = self._mistakes()
        if wrong:
            self.refused = wrong
            return Outcome(refused=wrong)
        self.scene.engine.without = self.config.without
        outcome = self.scene.up(self.config.phase, self.config.round, goes_on=0)
        if outcome.refused or any(name in outcome.failed and "refused." in outcome.failed[name] for name in ANNOUNCES):
            self.refused = outcome.said
        return outcome

    def _mistakes(self) -> str:
        try:
            Settings.from_config(
                {**raw(self.config.without), "phase": self.config.phase.value, "round": self.config.round}
            )
        except SettingsError as error:
            return f"{error.mistakes} To do: {'; '.join(error.mistakes)}"
        return ""

    def window_back(self) -> Outcome:
        """`python -m scripts.window --back`, by the window's own course."""
        finished = self.scene.engine.finished
        assert finished is not None
        lost = "db-a" in self.config.lost
        now: Course | course.End = course.back_from(
            self.config.phase, self.config.round, Finished(*finished), without_target=lost
        )
        outcome = Outcome()
        while isinstance(now, Course):
            self.config = replace(self.config, phase=now.phase, round=now.round)
            self.refused = ""  # it tries one way, and then the other
            outcome = self.up()
            opened = "db1-client-gate" in outcome.facts and now.phase is Phase.PREPARE
            ending = Ending.DONE if outcome.arrived else Ending.FAILED
            ran = Ran(ending, begun=bool(outcome.ran), primary_opened=opened, refused=course.understood(outcome.said))
            now = course.after(now, ran)
        return outcome
