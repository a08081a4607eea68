"""No verb that writes is left out where steps die: what a move never runs is named, with what tries it instead."""

from __future__ import annotations

from pathlib import Path

from agent.__main__ import READING
from agent.states import REHEARSAL_VERBS, Phase, Verb
from tests.model.declared import DELIVER, steps
from tests.model.engine import How
from tests.model.moves import MOVES, WITH_A_WAY_BACK, States, faults_at

# Writes nothing: it looks who is there.
LOOKS = {Verb.UNUSED, *READING}
# No step of a window's moves: what tries each that stops half-way, on fake servers.
ELSEWHERE = {
    Verb.UNINSTALL: "tests/agent/test_uninstall.py",
    **dict.fromkeys(REHEARSAL_VERBS, "tests/agent/test_rehearsal.py"),
}


def test_every_verb_that_writes_dies_between_its_writes(states: States) -> None:
    """A verb that is added and never dies in the model is one of which nobody knows what a crash leaves behind."""
    deaths = dict.fromkeys([verb.value for verb in Verb], 0)
    for move in MOVES:
        verb_of = {step.name: step.verb for step in steps(move.phase, move.round)}
        for moment in states.moments(move):
            verb = verb_of[moment.step]
            if verb != DELIVER:
                found = faults_at(move, moment, (How.DIES,))
                deaths[verb] += len(found) * (1 + (move in WITH_A_WAY_BACK))
    never = {Verb(verb) for verb, number in deaths.items() if not number}
    assert never == LOOKS | set(ELSEWHERE)
    print(f"{sum(deaths.values())} deaths in test_faults: {', '.join(f'{v} {n}' for v, n in deaths.items() if n)}")
    root = Path(__file__).parents[2]
    assert all((root / file).exists() for file in ELSEWHERE.values())
    assert {move.phase for move in MOVES} == set(Phase)
