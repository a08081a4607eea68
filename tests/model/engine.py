"""A model of the Pulumi engine, over the real program's steps and the real agent's verbs.

A step whose inputs are unchanged since it last succeeded is not run; a step runs once all it waits for stand; what waits for a
failed one does not run, and of the others those that were under way may still; what succeeded is remembered. Steps run one
at a time here, in any order that their waiting allows; only processes that were left behind run beside them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.__main__ import LONG, act
from agent.report import Refusal
from agent.states import Phase, Verb
from components.phases import MoveRefusedError, check_move
from tests.model import arrival, tally
from tests.model.declared import DELIVER, DeclaredStep, archive, steps
from tests.model.process import Fate, Process
from tests.model.world import World

HOME = "/home/deploy"


class How(StrEnum):
    """How a step goes wrong, once."""

    BEFORE = "fails before its effect"
    DIES = "dies half-way"
    DROPPED = "succeeds while its connection drops"
    LEFT = "its connection drops, and it goes on later"


@dataclass(frozen=True)
class Fault:
    """`moment` is the one of the step's moments at which it dies or is left; -1 where that means nothing."""

    how: How
    moment: int = -1


@dataclass
class Outcome:
    """What became of an `up`: the steps that ran, in order, with the facts of those that succeeded, and what was refused or failed."""

    ran: list[DeclaredStep] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    refused: str = ""

    @property
    def arrived(self) -> bool:
        return not self.failed and not self.refused

    @property
    def said(self) -> str:
        return self.refused or "; ".join(f"{name}: {why}" for name, why in self.failed.items())


@dataclass
class Engine:
    """A stack: what succeeded last, by step, and the phase that finished. `moments` counts those of each step that ran last."""

    without: str = ""
    state: dict[str, str] = field(default_factory=dict)
    finished: tuple[Phase, int] | None = None
    moments: dict[str, int] = field(default_factory=dict)

    def up(
        self,
        world: World,
        phase: Phase,
        round_: int,
        faults: Mapping[str, Fault] | None = None,
        *,
        before_step: Callable[[str], None] = lambda name: None,
        left_out: frozenset[str] = frozenset(),
        goes_on: float = 0.5,
        seed: int = 0,
    ) -> Outcome:
        """`pulumi up`. `left_out` is what `--target` leaves out; `goes_on` how likely a step is under way when another one fails
        (1 is `--continue-on-error`). A step with a fault comes as soon as it can."""
        outcome, rng, faults = Outcome(), random.Random(seed), faults or {}
        before, before_round = self.finished or (None, 0)
        try:
            check_move(
                before, before_round, phase, round_, without_target=self.without in ("db-a lost", "db-a given up")
            )
        except MoveRefusedError as refused:
            return Outcome(refused=str(refused))
        if phase is Phase.RETIRE:
            world.nobody_by_address()
        left = {step.name: step for step in steps(phase, round_, self.without)}
        declared = frozenset(left)
        standing: set[str] = set()
        while True:
            ready = [step for step in left.values() if step.waits_for <= standing]
            if not ready:
                break
            step = next((found for found in ready if found.name in faults), None) or rng.choice(ready)
            del left[step.name]
            if self.state.get(step.name) == step.inputs:
                standing.add(step.name)
            elif step.name in left_out:
                # components/step.py's guard: what waits for a step that does not stand fails. A delivery has no such guard.
                if step.verb == DELIVER:
                    standing.add(step.name)
            elif not outcome.failed or rng.random() < goes_on:
                before_step(step.name)
                why = self._do(world, step, faults.get(step.name), outcome.facts)
                outcome.ran.append(step)
                world.look(f"after {step.name}")
                if why is None:
                    self.state[step.name] = step.inputs
                    standing.add(step.name)
                else:
                    outcome.failed[step.name] = why
        if not outcome.failed and not left and not left_out:
            self.finished = (phase, round_)
            told = {step.name: step for step in steps(phase, round_, self.without)}
            world.violations += [f"after {phase} arrived: {what}" for what in arrival.amiss(world, phase, told)]
            # What is not declared any more is deleted at the end, and only if all went well; to a server it is nothing.
            self.state = {name: inputs for name, inputs in self.state.items() if name in declared}
        elif not outcome.failed and left:
            outcome.failed["the program"] = "a step was left out, and what comes after it must not run"
        return outcome

    def _do(self, world: World, step: DeclaredStep, fault: Fault | None, facts: dict[str, Any]) -> str | None:
        """Run a step, and keep its facts; why it failed as the engine sees it, or None."""
        machine = world.machines[step.server]
        how = fault.how if fault is not None else None
        if how is not None:
            tally.befell(step.verb, how.value)
        if machine.name in world.unreachable or how is How.BEFORE:
            return "it could not be reached"
        if step.verb == DELIVER:
            machine.put(f"{HOME}/{step.program}", archive())
            return None if how is None else "its connection dropped"
        fate = Fate()
        if how is How.DIES and fault is not None:
            fate.dies_at = fault.moment
        elif how is How.LEFT and fault is not None and step.verb in LONG:
            fate.unit_stands_at = fault.moment
        elif how is How.LEFT and fault is not None and step.verb != Verb.INSTALL.value:
            fate.stands_at = fault.moment
        process = run_step(world, step, fate)
        self.moments[step.name] = fate.met
        if not process.over:
            return "its connection dropped, and it goes on"
        if process.error is not None:
            return str(process.error) or "it died"
        facts[step.name] = process.outcome
        return "its connection dropped" if how is How.DROPPED else None


def run_step(world: World, step: DeclaredStep, fate: Fate) -> Process:
    """The agent on the step's server, told what the step says, by a process with this fate."""
    machine = world.machines[step.server]
    program = machine.path(step.program if step.program.startswith("/") else f"{HOME}/{step.program}")

    def agent() -> object:
        if not program.exists():
            raise Refusal(f"the file {program.name}", "no such file", "have it delivered")
        machine.started_from = program
        return act(Verb(step.verb), step.desired, machine)

    return world.launch(Process(agent, machine.name, fate))
