"""Random walks over phases and rounds, with faults, servers out of reach, a slow DB_A and a primary that restarts."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from agent.journal import Authority
from agent.states import Phase
from tests.model.declared import steps
from tests.model.engine import Fault, How
from tests.model.moves import Scene, States

NAMES = sorted({step.name for step in steps(Phase.PREPARE, 1)})
DANGEROUS = ("db1-client-gate", "db-a-client-gate", "db-a-database")
BEGINNINGS = ("prepare", "readonly", "upgrade", "cutover, released", "cutover, not released", "replicas")
FAULTS = st.builds(
    lambda step, how, moment: {step: Fault(how, moment)},
    st.sampled_from(NAMES) | st.sampled_from(DANGEROUS),
    st.sampled_from(How),
    st.integers(0, 30),
)


def walk_of(states: States) -> type[RuleBasedStateMachine]:
    """The walk, from any phase. It ends with the way that is left: back to prepare, or on with a DB_A that holds the authority."""

    class Walk(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.ended = ExitStack()
            self.round = 1

        @initialize(state=st.sampled_from(BEGINNINGS))
        def begin(self, state: str) -> None:
            self.scene: Scene = self.ended.enter_context(states.begun(state))
            self.scene.world.side_by_side = True

        @rule(
            phase=st.sampled_from(Phase),
            higher=st.booleans(),
            faults=st.just({}) | FAULTS,
            seed=st.integers(0, 99),
            goes_on=st.sampled_from((0.0, 0.5, 1.0)),
        )
        def up(self, phase: Phase, higher: bool, faults: dict[str, Fault], seed: int, goes_on: float) -> None:
            self.round += higher
            self.scene.up(phase, self.round, faults, seed=seed, goes_on=goes_on)

        @rule(seed=st.integers(0, 99))
        def forward(self, seed: int) -> None:
            """On from the phase that finished last: what an operator does most."""
            finished = self.scene.engine.finished
            assert finished is not None
            following = list(Phase)[min(list(Phase).index(finished[0]) + 1, len(Phase) - 1)]
            self.scene.up(following, self.round, seed=seed)

        @rule(server=st.sampled_from(("db1", "db2", "db-a", "db-c", "web1", "worker1")))
        def out_of_reach(self, server: str) -> None:
            self.scene.world.unreachable ^= {server}

        @rule()
        def slow(self) -> None:
            self.scene.world.lagging ^= {"db-a"}

        @rule()
        def restart(self) -> None:
            """db1 loses its power, and starts with the machine."""
            self.scene.world.primary.boot()
            self.scene.world.look("after db1 restarted")

        @rule(moments=st.integers(1, 9))
        def time_passes(self, moments: int) -> None:
            for _ in range(moments):
                self.scene.world.clock += 1
                self.scene.world.move()
            self.scene.world.others_go_on(self.scene.world.primary)

        @invariant()
        def nothing_is_broken(self) -> None:
            assert not self.scene.world.violations, self.scene.world.violations

        def teardown(self) -> None:
            if not hasattr(self, "scene"):
                return
            world = self.scene.world
            try:
                world.unreachable.clear()
                world.lagging.clear()
                if not world.violations and self.scene.authority("db-a") is not Authority.HOLDS:
                    self.scene.go_back(self.round + 1)
                elif not world.violations:
                    # Once retire was announced it is the end; from anything before it cutover can be had.
                    retiring = self.scene.has_been_in(Phase.RETIRE)
                    outcome = self.scene.up(Phase.RETIRE if retiring else Phase.CUTOVER, self.round + 1)
                    assert outcome.arrived, outcome.said
                world.end_standing()
                world.look("at the end")
                self.nothing_is_broken()
            finally:
                self.ended.close()

    return Walk


def test_random_walks(states: States) -> None:
    """What nobody thought of: two faults after one another, and a move begun where the last one broke off."""
    bounds = settings(
        max_examples=120,
        stateful_step_count=14,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(walk_of(states), settings=bounds)
