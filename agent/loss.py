"""What is lost when DB_A, which has taken writes, is given up by a person's word; told before, and in the step's facts after."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from agent import copies, journal, sequences
from agent.journal import Authority
from agent.other_side import OtherSide
from agent.past import set_past
from agent.postgres import Postgres
from agent.report import Refusal, progress
from agent.sequences import Values
from agent.subscriber import Subscriber, number


def give_up(postgres: Postgres, target: OtherSide, jobs: int, because: str = "") -> List[str]:
    """Open without what DB_A alone has: say what that is, and set every sequence as DB_A has it, or, if DB_A does not answer or is not
    sealed, past what is known to have been given out. `because`: what stood in the way. What was done."""
    subscriber = Subscriber(postgres, target, jobs)
    lost = f"{because}; {told(subscriber)}" if because else told(subscriber)
    progress(f"given up: {lost}")
    databases = list(subscriber.found())
    exact = _exact(subscriber, databases)
    subscriber.disable()
    if exact is not None:
        done = sequences.set_all(postgres, exact, jobs)
        how = "as DB_A has them"
    else:
        copied = copies.kept(postgres.server).get("sequences", {})

        def past(database: str) -> sequences.Done:
            return set_past(postgres, database, sequences.from_json(copied.get(database, [])))

        each = postgres.server.side_by_side(past, databases, jobs)
        done = sequences.together(each)
        how = "past every copy and every column"
    return [
        f"gave up what only DB_A has: {lost}",
        f"set {done.number} sequences {how}",
        *sequences.as_far_as_bounds_allow(postgres, done.failed),
    ]


def _exact(subscriber: Subscriber, databases: Sequence[str]) -> Optional[Dict[str, Values]]:
    """DB_A's sequences, if it answers and nobody can take a value from them any more."""
    target = subscriber.target
    if target.lost:
        return None
    try:
        if journal.from_json(target.journal()).authority is not Authority.SEALED:
            return None
        return sequences.read(target, databases, subscriber.jobs)
    except Refusal:
        return None


def told(subscriber: Subscriber) -> str:
    """How much has not arrived here: transactions and seconds. An upper bound where DB_A cannot be asked."""
    server = subscriber.postgres.server
    kept = copies.kept(server)
    samples = kept.get("samples", [])
    live = _live(subscriber)
    if live is not None:
        samples = [*samples, [server.now(), live["lsn"], live["xid"]]]
    slots = subscriber.slots() if live is not None else {}
    arrived = copies.arrived(subscriber.found(), slots, kept.get("arrived"))
    return sentence(samples, arrived, server.now(), asked=live is not None)


def sentence(samples: List[List[Any]], applied: Optional[str], now: float, asked: bool) -> str:
    """The loss in words, from samples of DB_A ([seconds, position, next transaction id]) and the position applied here. Pure."""
    if not samples:
        return "nobody knows how much: DB_A was never seen to write, and it cannot be asked now"
    done = [one for one in samples if applied is not None and number(one[1]) <= number(applied)]
    last, known = (done or samples)[-1 if done else 0], samples[-1]
    if done and last is known:
        text = f"nothing that was seen: all that DB_A had {now - known[0]:.0f} s ago is applied here"
    else:
        text = f"at most {known[2] - last[2]} transactions, those since {now - last[0]:.0f} s ago"
    return (
        text
        if asked
        else f"{text}; and whatever DB_A took in its last seconds, at least since {now - known[0]:.0f} s ago"
    )


def _live(subscriber: Subscriber) -> Optional[Mapping[str, Any]]:
    if subscriber.target.lost:
        return None
    try:
        found: Dict[str, Any] = subscriber.target.read_json(copies.POSITION)
    except Refusal:
        return None
    return found
