"""Sequences, which logical replication does not carry: read from DB_A, and set on the old primary before it opens again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.qualified import AT_ONCE, Qualified, answers, in_parts, literal, values_in
from agent.report import Refusal


class Value(NamedTuple):
    """`last_value` of a sequence, and whether it was given out (`is_called`)."""

    last: int
    called: bool


Values = Dict[Qualified, Value]

_NEAR = """SELECT w ->> 0 AS schema, w ->> 1 AS name, greatest(s.seqmin, least(s.seqmax, (w ->> 2)::bigint)) AS last
FROM json_array_elements({}::json) w JOIN pg_namespace n ON n.nspname = w ->> 0
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w ->> 1 JOIN pg_sequence s ON s.seqrelid = c.oid"""
# What a session of its own has made is nobody else's. An unlogged one starts anew on DB_A, as the table does that it mostly numbers; that table is
# as it was on the old primary, and goes on from there.
ALL = """SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'S' AND c.relpersistence = 'p'"""
READ = in_parts(
    ALL,
    lambda names: (
        f"SELECT coalesce(json_agg(json_build_array(schema, name, last, called)), '[]') FROM pgleap.sequences({names})"
    ),
)


class Failed(NamedTuple):
    """A sequence that could not be set, and PostgreSQL's word for it; `near` is what its bounds here let come nearest, None if there is none."""

    database: str
    name: Qualified
    value: Value
    problem: str
    near: Optional[int]

    def __str__(self) -> str:
        return f"{self.database}: the sequence {self.name} is at {self.value.last} on DB_A, and could not be set here: {self.problem}"

    @property
    def makes_room(self) -> str:
        """The statement after which it can be."""
        above = self.near is None or self.value.last > self.near
        return (
            f"ALTER SEQUENCE {self.name.sql} AS bigint {f'MAXVALUE {2**63 - 1}' if above else f'MINVALUE {-(2**63)}'};"
        )


@dataclass(frozen=True)
class Done:
    """How many sequences were set, and those that could not be."""

    number: int
    failed: List[Failed]


def read(target: OtherSide, databases: Sequence[str], jobs: int) -> Dict[str, Values]:
    """DB_A's sequences, by database. Raises Refusal."""

    def one(database: str) -> Values:
        return parsed(target.ask(READ, database))

    return dict(zip(databases, target.server.side_by_side(one, databases, jobs)))


def parsed(text: str) -> Values:
    """What `READ` printed. Pure."""
    return from_json(answers(text)[0].found)


def from_json(found: Iterable[Sequence[Any]]) -> Values:
    """Values as JSON has them, [schema, name, last, called] each. Pure."""
    return {Qualified(schema, name): Value(int(last), bool(called)) for schema, name, last, called in found}


def to_json(values: Values) -> List[List[Any]]:
    """The same, the other way. Pure."""
    return [[*name, *value] for name, value in values.items()]


def set_all(postgres: Postgres, values: Mapping[str, Values], at_once: int) -> Done:
    """Set every sequence that is here to its value, where it has another one: each by itself, so that one that fails holds up no other.
    Raises Refusal if one was not answered for."""
    return together(postgres.server.side_by_side(lambda one: set_in(postgres, one, values[one]), list(values), at_once))


def set_in(postgres: Postgres, database: str, values: Values) -> Done:
    """The same, in one database."""
    wanted = to_json(values)
    if not wanted:
        return Done(0, [])
    rows = "json_build_array(schema, name, was_set, problem)"
    script = "".join(
        f"SELECT json_agg({rows}) FROM pgleap.set_sequences({literal(json.dumps(wanted[first : first + AT_ONCE]))}::json);\n"
        for first in range(0, len(wanted), AT_ONCE)
    )
    found = [row for part in values_in(postgres.execute(script, database, writing=True)) for row in part]
    if len(found) != len(wanted):
        raise Refusal(
            f"an answer for each of the sequences in {database}",
            f"{len(found)} of {len(wanted)}",
            "run `pulumi up` again: they are set again",
        )
    problems = {Qualified(schema, name): problem for schema, name, _, problem in found if problem}
    near = _near(postgres, database, {name: values[name] for name in problems}) if problems else {}
    failed = [Failed(database, name, values[name], problem, near.get(name)) for name, problem in problems.items()]
    return Done(sum(was_set for _, _, was_set, _ in found), failed)


def _near(postgres: Postgres, database: str, values: Values) -> Dict[Qualified, int]:
    """The value that comes nearest to each within its bounds here."""
    rows = postgres.rows(_NEAR.format(literal(json.dumps(to_json(values)))), database)
    return {Qualified(row["schema"], row["name"]): int(row["last"]) for row in rows}


def together(each: Iterable[Done]) -> Done:
    """Of several databases. Pure."""
    done = list(each)
    return Done(sum(one.number for one in done), [failed for one in done for failed in one.failed])


def as_far_as_bounds_allow(postgres: Postgres, failed: Sequence[Failed]) -> List[str]:
    """Set each that could not be set as near as its bounds here let it; what has become of each, in a sentence."""
    told: List[str] = []
    for one in failed:
        near = {} if one.near is None else {one.name: Value(one.near, called=True)}
        is_set = near and not set_in(postgres, one.database, near).failed
        told.append(f"{one}; {f'it was set to {one.near}' if is_set else 'it stays as it is'}")
    return told
