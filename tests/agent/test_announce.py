"""What the journals refuse, which the engine cannot know."""

from __future__ import annotations

import itertools

import pytest

from agent import announce
from agent.journal import Authority, Journal
from agent.report import Refusal
from agent.states import MOVES, Phase, goes_back


def journal(phase: Phase, round_: int, *, finished: bool, authority: Authority = Authority.HOLDS) -> Journal:
    return Journal(phase=phase, round=round_, finished=finished, authority=authority, epoch=1)


def decide(own: Journal | None, phase: Phase, round_: int) -> Journal:
    return announce.decide(own, phase, round_, is_target=False)


def test_a_server_begins_with_prepare() -> None:
    """A stack pointed at a fleet that nobody prepared must not seal its primary."""
    assert decide(None, Phase.PREPARE, 1).authority is Authority.HOLDS
    with pytest.raises(Refusal, match="pulumi config set phase prepare"):
        decide(None, Phase.READONLY, 1)


@pytest.mark.parametrize(("before", "to", "up"), list(itertools.product(Phase, Phase, (0, 1))))
def test_from_a_finished_phase_the_servers_refuse_what_is_no_move(before: Phase, to: Phase, up: int) -> None:
    """The stack's state may be lost or another's; the servers decide for themselves."""
    own = journal(before, 5, finished=True)
    allowed = to is before or (to in MOVES[before] and (up or not goes_back(before, to)))
    if allowed:
        assert decide(own, to, 5 + up).phase is to
    else:
        with pytest.raises(Refusal):
            decide(own, to, 5 + up)


@pytest.mark.parametrize(("before", "to", "up"), list(itertools.product(Phase, Phase, (0, 1))))
def test_from_an_unfinished_phase_one_goes_on_or_with_a_higher_round_back(before: Phase, to: Phase, up: int) -> None:
    """A failed step is not in the engine's state: without a higher round going back would change nothing."""
    own = journal(before, 5, finished=False)
    allowed = to is before or (to in MOVES[before] and goes_back(before, to) and up)
    if allowed:
        assert not decide(own, to, 5 + up).finished
    else:
        with pytest.raises(Refusal):
            decide(own, to, 5 + up)


def test_an_unreleased_cutover_goes_straight_back_to_prepare() -> None:
    """A DB_A that died right before the release would hold writes back for as long as it is dead."""
    own = journal(Phase.CUTOVER, 5, finished=False, authority=Authority.SEALED)
    assert decide(own, Phase.PREPARE, 6).phase is Phase.PREPARE
    with pytest.raises(Refusal):
        decide(own, Phase.PREPARE, 5)
    with pytest.raises(Refusal):
        decide(journal(Phase.CUTOVER, 5, finished=False, authority=Authority.RELEASED), Phase.PREPARE, 6)


def test_the_refusal_prints_the_commands_to_type() -> None:
    """At night nobody should have to work out how to get writes back."""
    with pytest.raises(Refusal) as refused:
        decide(journal(Phase.READONLY, 5, finished=False), Phase.PREPARE, 5)
    assert "pulumi config set phase prepare && pulumi config set round 6 && pulumi up" in str(refused.value)
    assert "pulumi config set phase readonly && pulumi config set round 6 && pulumi up" in str(refused.value)


def test_a_stale_round_is_refused() -> None:
    """A colleague's old checkout would take the fleet back in the middle of the night."""
    with pytest.raises(Refusal, match="stale"):
        decide(journal(Phase.UPGRADE, 5, finished=True), Phase.UPGRADE, 4)


def test_a_raised_round_in_the_same_phase_is_unfinished_until_finish() -> None:
    """Otherwise a repair that failed would look finished."""
    own = decide(journal(Phase.READONLY, 5, finished=True), Phase.READONLY, 6)
    assert (own.round, own.finished) == (6, False)


def test_announcing_twice_changes_nothing() -> None:
    own = journal(Phase.READONLY, 5, finished=False)
    assert decide(own, Phase.READONLY, 5) == own


def test_prepare_is_refused_while_the_authority_is_released() -> None:
    """Opening the old primary then would make two databases that may take writes."""
    own = journal(Phase.UPGRADE, 5, finished=True, authority=Authority.RELEASED)
    with pytest.raises(Refusal, match="phase upgrade"):
        decide(own, Phase.PREPARE, 6)
