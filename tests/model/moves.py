"""Every move there is, the states that moves begin from, and the way back that an operator walks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.journal import Authority
from agent.states import Phase
from components.settings import Settings
from tests.model import invariants, tally
from tests.model.declared import raw
from tests.model.engine import Engine, Fault, How, Outcome
from tests.model.world import Saved, World, remove


@dataclass(frozen=True)
class Move:
    """From a state (a name of MADE_BY) to a phase in a round; `failing` is a step that cannot be reached meanwhile."""

    start: str
    phase: Phase
    round: int = 1
    failing: str = ""

    def __str__(self) -> str:
        return f"{self.start} to {self.phase}"


NEW = "new"
MADE_BY = {
    "prepare": Move(NEW, Phase.PREPARE),
    "readonly": Move("prepare", Phase.READONLY),
    "upgrade": Move("readonly", Phase.UPGRADE),
    "cutover": Move("upgrade", Phase.CUTOVER),
    "cutover, with upgrade": Move("readonly", Phase.CUTOVER),
    "cutover, not upgraded": Move("readonly", Phase.CUTOVER, failing="db-a-database"),
    "cutover, with upgrade, not released": Move("readonly", Phase.CUTOVER, failing="db1-client-gate"),
    "cutover, not released": Move("upgrade", Phase.CUTOVER, failing="db1-client-gate"),
    "cutover, released": Move("upgrade", Phase.CUTOVER, failing="db-a-client-gate"),
    "upgrade, taken back": Move("cutover, released", Phase.UPGRADE, 2),
    "upgrade, after cutover": Move("cutover", Phase.UPGRADE, 2),
    "cutover, again": Move("upgrade, after cutover", Phase.CUTOVER, 2),
    "replicas": Move("cutover", Phase.REPLICAS),
    "cutover, after replicas": Move("replicas", Phase.CUTOVER, 2),
    "retire": Move("replicas", Phase.RETIRE),
}
MOVES = (
    *(move for move in MADE_BY.values() if not move.failing),
    Move("readonly", Phase.PREPARE, 2),
    Move("upgrade", Phase.PREPARE, 2),
    Move("cutover, not released", Phase.PREPARE, 2),
    Move("cutover, not upgraded", Phase.PREPARE, 2),
    Move("cutover, with upgrade, not released", Phase.PREPARE, 2),
    Move("upgrade, taken back", Phase.PREPARE, 3),
    Move("upgrade, after cutover", Phase.PREPARE, 3),
)
# From a retire that was announced nobody goes back: the old servers stop, and what led the stream back goes.
WITH_A_WAY_BACK = tuple(move for move in MOVES if move.phase is not Phase.RETIRE)


@dataclass
class Scene:
    """A fleet and its stack, somewhere on their way."""

    world: World
    engine: Engine

    def up(self, phase: Phase, round_: int, faults: dict[str, Fault] | None = None, **how: object) -> Outcome:
        return self.engine.up(self.world, phase, round_, faults, **how)  # type: ignore[arg-type] # as Engine.up names them

    def authority(self, name: str) -> Authority:
        own = invariants.journal_of(self.world.machines[name])
        return own.authority if own is not None else Authority.NONE

    def has_been_in(self, phase: Phase) -> bool:
        """Whether it is what the stack finished last, or what one of the two who can hold the authority was told of last."""
        both = (invariants.journal_of(machine) for machine in (self.world.primary, self.world.target))
        finished = self.engine.finished is not None and self.engine.finished[0] is phase
        return finished or any(own is not None and own.phase is phase for own in both)

    def takes_writes(self, name: str) -> bool:
        return invariants.takes_writes(self.world, self.world.machines[name])

    def go_back(self, round_: int) -> str:
        """The way back to prepare, as the refusals tell an operator to go it; what it came to. `round_` is a higher one. There is
        none from retire, once that was announced.

        Writes are there again before the first step on DB_A, and before the first on a worker.
        """
        early: list[str] = []

        def writes_first(name: str) -> None:
            if name.startswith(("db-a-", "worker")) and "agent" not in name and not self.takes_writes("db1"):
                early.append(name)

        had_opened = False
        straight = self.up(Phase.PREPARE, round_, before_step=writes_first)
        if not straight.arrived:
            had_opened = self.authority("db-a") is not Authority.NONE
            through = self.up(Phase.UPGRADE, round_ + 1)
            if not through.arrived and self.has_been_in(Phase.REPLICAS):
                first = self.up(Phase.CUTOVER, round_ + 2)
                assert first.arrived, f"{through.said} -- {first.said}"
                round_ += 2
                through = self.up(Phase.UPGRADE, round_ + 1)
            assert through.arrived, f"{straight.said} -- {through.said}"
            then = self.up(Phase.PREPARE, round_ + 2, before_step=writes_first)
            assert then.arrived, then.said
        assert early == [], f"{early} came before writes did"
        assert self.takes_writes("db1")
        return "straight" if straight.arrived else "after DB_A had opened" if had_opened else "by way of upgrade"


@dataclass
class Moment:
    """The fleet right before a step of a move, and how many moments the step has."""

    step: str
    saved: Saved
    moments: int = 0


@dataclass
class States:
    """Fleets that tests begin from, each made once, in `folder`."""

    folder: Path
    _made: dict[tuple[str, str], Saved] = field(default_factory=dict)
    _moments: dict[Move, list[Moment]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def _new_folder(self) -> Path:
        return self.folder / str(next(self.numbers))

    def _saved(self, state: str, without: str) -> Saved:
        if (state, without) not in self._made:
            if state == NEW:
                world = World.built(Settings.from_config(raw(without)), self._new_folder())
                self._made[state, without] = Saved.of(world, Engine(without), self._new_folder())
            else:
                move = MADE_BY[state]
                with self.begun(move.start, without) as scene:
                    faults = {move.failing: Fault(How.BEFORE)} if move.failing else {}
                    outcome = scene.up(move.phase, move.round, faults, goes_on=0)
                    assert set(outcome.failed) == set(faults), outcome.said
                    assert not scene.world.violations, scene.world.violations
                    self._made[state, without] = Saved.of(scene.world, scene.engine, self._new_folder())
        return self._made[state, without]

    @contextmanager
    def begun(self, state: str, without: str = "") -> Iterator[Scene]:
        """A fleet in a state, for a test to do with as it likes."""
        with self.again(self._saved(state, without)) as scene:
            yield scene

    @contextmanager
    def again(self, saved: Saved) -> Iterator[Scene]:
        tally.fleet()
        folder = self._new_folder()
        world, engine = saved.begin(folder)
        assert isinstance(engine, Engine)
        try:
            yield Scene(world, engine)
        finally:
            for process in list(world.standing):
                world.standing.remove(process)
                process.end()
            remove(str(folder))

    def moments(self, move: Move) -> list[Moment]:
        """The fleet right before each step of a move that nothing disturbs."""
        if move not in self._moments:
            found: list[Moment] = []
            with self.begun(move.start) as scene:

                def keep(step: str) -> None:
                    found.append(Moment(step, Saved.of(scene.world, scene.engine, self._new_folder())))

                outcome = scene.up(move.phase, move.round, before_step=keep)
                assert outcome.arrived, outcome.said
                assert not scene.world.violations, scene.world.violations
                for moment in found:
                    moment.moments = scene.engine.moments.get(moment.step, 0)
            self._moments[move] = found
        return self._moments[move]


# Steps that decide who may write.
CRITICAL = ("db1-client-gate", "db-a-client-gate", "db-a-database", "db1-announce", "db-a-announce")
# Other steps of which each moment is tried: they make or stop a database, or change what others come in by.
WHOLLY = (*CRITICAL, "db-a-replication", "db-c-replica", "db1-reverse-replication", "db2-retirement")
Befall = Callable[[Scene, Moment, Fault], None]


def each_fault(
    states: States, move: Move, hows: tuple[How, ...], befall: Befall, *, critical_only: bool = False
) -> None:
    """Have each fault there is befall each step of a move, or the critical ones, each in a fleet of its own.

    Of some steps (WHOLLY) each moment is tried, on the way to prepare some, of any other one a few. Raises AssertionError with all that
    went wrong.
    """
    wrong: list[str] = []
    runs = 0
    for moment in states.moments(move):
        if critical_only and moment.step not in CRITICAL:
            continue
        for fault in faults_at(move, moment, hows):
            runs += 1
            with states.again(moment.saved) as scene:
                where = f"{moment.step} {fault.how} {fault.moment}"
                try:
                    befall(scene, moment, fault)
                    wrong += [f"{where}: {found}" for found in scene.world.violations[:3]]
                except AssertionError as error:
                    wrong.append(f"{where}: {error}")
    assert not wrong, f"{len(wrong)} of {runs} runs:\n" + "\n".join(wrong[:20])


def faults_at(move: Move, moment: Moment, hows: tuple[How, ...]) -> list[Fault]:
    """Those that `each_fault` tries at a step of a move."""
    most = 4 if moment.step not in WHOLLY else 8 if move.phase is Phase.PREPARE else moment.moments
    return faults_of(moment, hows, -(-moment.moments // max(most, 1)))


def faults_of(moment: Moment, hows: tuple[How, ...], every: int = 1) -> list[Fault]:
    found = []
    for how in hows:
        at_moments = how in (How.DIES, How.LEFT)
        # Dying at the very first moment is failing before the effect.
        found += [Fault(how, number) for number in (range(1, moment.moments, max(every, 1)) if at_moments else (-1,))]
    return found
