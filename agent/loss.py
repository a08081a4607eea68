"""What is lost when DB_A, which has taken writes, is given up by a person's word; told before, and in the step's facts after."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from agent import copies, sequences
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Refusal, progress
from agent.sequences import OWNED
from agent.subscriber import Subscriber, number

# PostgreSQL logs a sequence up to 32 values ahead; between two copies clients may have taken many more.
SPARE_VALUES = 10_000


def give_up(postgres: Postgres, target: OtherSide, jobs: int) -> List[str]:
    """Open without what DB_A alone has: say what that is, and set every sequence past what is known to have been given out."""
    subscriber = Subscriber(postgres, target, jobs)
    lost = told(subscriber)
    progress(f"given up: {lost}")
    databases = list(subscriber.found())
    subscriber.disable()
    set_ = sum(
        postgres.server.side_by_side(lambda one: _past(postgres, one, _copied(subscriber, one)), databases, jobs)
    )
    return [f"gave up what only DB_A has: {lost}", f"set {set_} sequences past every copy and every column"]


def told(subscriber: Subscriber) -> str:
    """How much has not arrived here: transactions and seconds. An upper bound where DB_A cannot be asked."""
    server, found = subscriber.postgres.server, subscriber.found()
    samples = copies.kept(server).get("samples", [])
    live = _live(subscriber)
    if live is not None:
        samples = [*samples, [server.now(), live["lsn"], live["xid"]]]
    return sentence(samples, copies.applied(found), server.now(), asked=live is not None)


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


def _copied(subscriber: Subscriber, database: str) -> Dict[str, Tuple[int, bool]]:
    """DB_A's sequences: as they are, if it answers, else as they were copied last."""
    if not subscriber.target.lost:
        try:
            return sequences.read(subscriber.target, [database], 1)[database]
        except Refusal:
            pass
    return sequences.from_json(copies.kept(subscriber.postgres.server).get("sequences", {}).get(database, {}))


def _past(postgres: Postgres, database: str, copied: Mapping[str, Tuple[int, bool]]) -> int:
    """Set the sequences of a database past the copies and their columns; how many."""
    copies_ = ", ".join(f"('{_quoted(name)}', {last}::bigint)" for name, (last, _) in copied.items())
    statements = []
    if copies_:
        statements.append(
            "SELECT setval(c.name::regclass, CASE WHEN s.increment_by > 0 THEN least(s.max_value, greatest(c.last, coalesce(s.last_value,"
            f" c.last)) + {SPARE_VALUES} * s.increment_by) ELSE greatest(s.min_value, least(c.last, coalesce(s.last_value, c.last)) +"
            f" {SPARE_VALUES} * s.increment_by) END) FROM (VALUES {copies_}) c(name, last)"
            " JOIN pg_sequences s ON format('%I.%I', s.schemaname, s.sequencename) = c.name;"
        )
    for row in postgres.rows(OWNED, database):
        statements.append(
            f"SELECT setval('{_quoted(row['sequence'])}'::regclass, q.most) FROM (SELECT max({row['column']}) AS most FROM {row['table']}) q,"
            f" {row['sequence']} s, pg_sequence p WHERE p.seqrelid = '{_quoted(row['sequence'])}'::regclass AND p.seqincrement > 0"
            " AND q.most > s.last_value;"
        )
    if statements:
        postgres.execute("\n".join(statements), database, writing=True)
    return len(copied)


def _quoted(name: str) -> str:
    return name.replace("'", "''")
