"""What follows when an `up` of the window has ended. Pure: nothing here touches the world, and nothing is guessed.

A window goes back by itself until DB_A's client gate has said that it is open. Where that is not known after `cutover`, the way
back begins with `upgrade`, which seals a DB_A that had opened; the old primary then follows it to its last write.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from agent import advice
from agent.states import MOVES, Phase, goes_back

# Cutover upgrades DB_A on its way: an `up` of its own for that would be an engine's turn more, with writes refused.
FORWARD = (Phase.READONLY, Phase.CUTOVER)
# The `up` that comes after the phase that the stack finished last; one that already asks for `upgrade` goes there first.
FOLLOWING = {Phase.PREPARE: Phase.READONLY, Phase.READONLY: Phase.CUTOVER, Phase.UPGRADE: Phase.CUTOVER}
# Where DB_A takes the writes.
AFTER_WINDOW = (Phase.CUTOVER, Phase.REPLICAS, Phase.RETIRE)
# How many `up` a way back may take; each failed one says what is wrong, and more of the same would only cost time.
MOST_TRIES = 5
BACK = "python -m scripts.window --back"


class Ending(StrEnum):
    """How an `up` ended."""

    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LATE = "late"


class Refused(StrEnum):
    """What a refusal, in the servers' or the program's own words, means for where to go."""

    NOTHING_KNOWN = "nothing that matters here"
    # DB_A takes writes, and not all of them would come along.
    LOSES = "the way back would lose writes"
    # DB_A is lost, a row is in the stream's way, or the two sides differ: another try finds the same, and writes are refused meanwhile.
    NEEDS_A_PERSON = "what DB_A took does not come along by itself"
    # The servers have seen a higher round: this checkout is stale, and a round raised by us would hide it.
    STALE = "the checkout is stale"
    # The old primary was told of cutover, or released its authority: `prepare` comes after `upgrade`.
    BY_UPGRADE = "the way back leads over upgrade"


# Parts of the sentences of agent/ready.py, authority.py, announce.py and components/phases.py; the first that is found counts.
WORDS: tuple[tuple[str, Refused], ...] = (
    ("the old primary to follow DB_A closely", Refused.LOSES),
    ("made, changed or dropped on DB_A that the stream back does not carry", Refused.LOSES),
    ("acceptDataLoss: true, for the authority was released", Refused.NEEDS_A_PERSON),
    ("every table here equal to DB_A's", Refused.NEEDS_A_PERSON),
    ("to be applied here", Refused.NEEDS_A_PERSON),
    ("or higher, which this server has seen", Refused.STALE),
    ("it is a stale checkout", Refused.STALE),
    ("it released it to DB_A", Refused.BY_UPGRADE),
    ("it released its authority to DB_A", Refused.BY_UPGRADE),
    ("a move from cutover:", Refused.BY_UPGRADE),
    ("cutover to be finished first", Refused.BY_UPGRADE),
)


def understood(said: str) -> Refused:
    """What the errors of an `up` mean."""
    return next((means for words, means in WORDS if words in said), Refused.NOTHING_KNOWN)


@dataclass(frozen=True)
class Ran:
    """What is known of an `up` that ended.

    `begun`: a step began. `upgraded`: DB_A's database is the new version's. `release_begun`: the old primary may have begun to release its
    authority, which it does after that. `target_opened`, `primary_opened`: the client gate there said that it is open.
    """

    ending: Ending
    begun: bool = True
    upgraded: bool = False
    release_begun: bool = False
    target_opened: bool = False
    primary_opened: bool = False
    refused: Refused = Refused.NOTHING_KNOWN


class Way(StrEnum):
    """Which way the window goes."""

    FORWARD = "forward"
    BACK = "back"


@dataclass(frozen=True)
class Course:
    """The `up` to run next. `moved`: one of ours began something. `over_upgrade`: the old primary may have released its authority to a DB_A
    that is upgraded. `tries`: how many `up` the way back has taken, this one included."""

    way: Way
    phase: Phase
    round: int
    moved: bool = False
    over_upgrade: bool = False
    tries: int = 0


class End(StrEnum):
    """How a window ends."""

    CUTOVER = "DB_A takes the writes"
    BACK = "the old primary takes the writes again, as before"
    NOTHING = "nothing was done"
    OPENED = "DB_A is open, and it stays so"
    HALF_BACK = "the old primary takes writes again, and the way back is not finished"
    STUCK = "the way back did not succeed"


def after(course: Course, ran: Ran) -> Course | End:
    """What follows: the next `up`, or the end."""
    return _forward(course, ran) if course.way is Way.FORWARD else _back(course, ran)


def _forward(course: Course, ran: Ran) -> Course | End:
    if ran.ending is Ending.DONE:
        if course.phase is Phase.CUTOVER:
            return End.CUTOVER
        return replace(course, phase=FOLLOWING[course.phase], moved=True)
    if ran.target_opened:
        return End.OPENED
    if not course.moved and (not ran.begun or ran.refused is Refused.STALE):
        return End.NOTHING
    if ran.refused is Refused.STALE:
        return End.STUCK
    in_cutover = course.phase is Phase.CUTOVER
    # An engine that was ended may have begun a step of which we did not hear; before DB_A is upgraded there is no release to begin. Should
    # it have been upgraded unheard, the old primary refuses, and the way back goes over upgrade all the same.
    released = in_cutover and (ran.release_begun or (ran.upgraded and ran.ending is not Ending.FAILED))
    to = Phase.UPGRADE if released else Phase.PREPARE
    return Course(
        Way.BACK, to, advice.higher(course.round), moved=True, over_upgrade=in_cutover and ran.upgraded, tries=1
    )


def _back(course: Course, ran: Ran) -> Course | End:
    if ran.refused is Refused.LOSES:
        return End.OPENED
    if ran.ending is Ending.DONE:
        if course.phase is Phase.PREPARE:
            return End.BACK
        return replace(course, phase=Phase.PREPARE, round=advice.higher(course.round), tries=course.tries + 1)
    if ran.primary_opened:
        return End.HALF_BACK
    if ran.refused in (Refused.STALE, Refused.NEEDS_A_PERSON) or course.tries >= MOST_TRIES:
        return End.STUCK
    over_upgrade = course.over_upgrade or ran.refused is Refused.BY_UPGRADE
    to = Phase.UPGRADE if over_upgrade and course.phase is Phase.PREPARE else Phase.PREPARE
    return replace(
        course, phase=to, round=advice.higher(course.round), over_upgrade=over_upgrade, tries=course.tries + 1
    )


@dataclass(frozen=True)
class Finished:
    """The phase that the stack finished last, and in which round; the names of the servers whose instances it had made."""

    phase: Phase
    round: int
    instances: frozenset[str] = field(default=frozenset(), compare=False)


class NoWayError(Exception):
    """There is nothing to begin; the message says why, and what to do."""


def forward_from(asked: Phase, round_: int, finished: Finished | None) -> Course:
    """The first `up` of a window. `asked` and `round_` are the stack config's. Raises NoWayError."""
    if finished is None:
        raise NoWayError(
            "Expected: a fleet in phase prepare. Found: a stack without a finished `up`.\nTo do: pulumi up"
        )
    if finished.phase in AFTER_WINDOW:
        raise NoWayError(
            f"The window is over already: the fleet stands in {finished.phase}, and DB_A takes the writes."
        )
    following = FOLLOWING[finished.phase]
    if (asked is not finished.phase and asked not in MOVES[finished.phase]) or goes_back(finished.phase, asked):
        raise NoWayError(
            f"Expected: a stack that asks for {finished.phase}, which it finished, or for {following}.\n"
            f"Found: it asks for {asked}; a way back is not finished.\nTo do: {BACK}"
        )
    # Servers that were told of upgrade have to finish it first.
    told_of_upgrade = asked is Phase.UPGRADE and finished.phase is not Phase.UPGRADE
    return Course(Way.FORWARD, Phase.UPGRADE if told_of_upgrade else following, round_)


def back_from(asked: Phase, round_: int, finished: Finished | None, *, without_target: bool = False) -> Course:
    """The first `up` of the way back to prepare. `without_target`: DB_A is lost, and there is no upgrade without it. Raises NoWayError."""
    if finished is None:
        raise NoWayError("Expected: a fleet that pgleap prepared. Found: a stack without a finished `up`.")
    if finished.phase is Phase.RETIRE:
        raise NoWayError("There is no way back from retire: the old servers are stopped.")
    next_round = advice.higher(round_, finished.round)
    if without_target:
        return Course(Way.BACK, Phase.PREPARE, next_round, tries=1)
    if finished.phase is Phase.REPLICAS or asked is Phase.REPLICAS:
        raise NoWayError(
            f"Expected: a fleet in cutover or before it. Found: it stands in {finished.phase} and asks for {asked}; writes go on meanwhile.\n"
            f"To do: {advice.to(Phase.CUTOVER, next_round)} && {BACK}"
        )
    # From a cutover that began in readonly DB_A may not be upgraded: by way of upgrade writes would wait for that. If the authority was
    # released, the old primary refuses, and the way back goes there.
    over_upgrade = finished.phase is Phase.CUTOVER or (finished.phase is Phase.UPGRADE and asked is Phase.CUTOVER)
    to = Phase.UPGRADE if over_upgrade else Phase.PREPARE
    return Course(Way.BACK, to, next_round, over_upgrade=over_upgrade, tries=1)
