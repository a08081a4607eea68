"""What both sides hold, compared before the old primary opens again: an UPDATE whose row is missing is skipped in silence by
logical replication, so that a stream which never failed proves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

from agent import functions, sequences
from agent.other_side import OtherSide
from agent.own_names import PUBLICATION
from agent.postgres import Postgres
from agent.qualified import Qualified, answers, in_parts, literal
from agent.report import Refusal
from agent.sequences import Values
from agent.subscriber import SUBSCRIPTION

# Each side says by itself which tables the stream carries: a list that differed would show.
_SUBSCRIBED = f"""SELECT n.nspname AS schema, c.relname AS name FROM pg_subscription_rel r
  JOIN pg_subscription s ON s.oid = r.srsubid JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE s.subname = '{SUBSCRIPTION}' AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_PUBLISHED = (
    f"SELECT schemaname AS schema, tablename AS name FROM pg_publication_tables WHERE pubname = '{PUBLICATION}'"
)

Contents = Dict[Qualified, Tuple[int, str]]
"""Table -> rows, and a digest of them ("" if they were only counted)."""


@dataclass(frozen=True)
class Held:
    """What one side's database holds."""

    tables: Contents
    sequences: Values


@dataclass(frozen=True)
class Difference:
    """Tables that are not equal, and sequences that only one side has, in sentences; and, by database, DB_A's sequences that are here too."""

    tables: List[str]
    one_sided: List[str]
    sequences: Dict[str, Values]


def script(carried: str, wholly: bool, also: Sequence[Qualified] = ()) -> str:
    """Asks the functions of the schema pgleap for tables' contents and sequences; `carried` is a query for the tables' names, `also` are those
    whose contents are wanted where the others are only counted. Pure."""
    parts = [(carried, wholly)]
    if also and not wholly:
        names = ", ".join(f"({literal(table.schema)}, {literal(table.name)})" for table in also)
        one = f"SELECT c.schema, c.name FROM ({carried}) c WHERE (c.schema::text, c.name::text)"
        parts = [(f"{one} NOT IN (VALUES {names})", False), (f"{one} IN (VALUES {names})", True)]
    rows = "json_build_array(schema, name, rows, digest)"
    tables = "".join(
        in_parts(
            query,
            lambda names, whole=whole: (  # type: ignore[misc] # of this turn
                f"SELECT coalesce(json_agg({rows}), '[]') FROM pgleap.contents({names}, {str(whole).lower()})"
            ),
        )
        for query, whole in parts
    )
    return functions.if_whole(tables + sequences.READ)


def held(text: str, where: str) -> Held:
    """What `script` printed; `where` says of whom, for people. Raises Refusal if not all that was asked for is in it, or if the functions
    are not there."""
    if text == functions.WITHOUT:
        raise Refusal(
            f"the functions of the schema pgleap in {where}, as this checkout of pgleap makes them",
            "none, or those of another checkout",
            "git checkout of the commit that DB_A was made with, then run `pulumi up` again",
        )
    *tables, values = answers(text)
    for what, one in (*(("tables", one) for one in tables), ("sequences", values)):
        if len(one.found) != one.asked:
            raise Refusal(
                f"an answer for each of the {what} in {where}",
                f"{len(one.found)} of {one.asked}",
                "run `pulumi up` again: they are asked again",
            )
    contents = {
        Qualified(schema, name): (int(rows), str(digest)) for one in tables for schema, name, rows, digest in one.found
    }
    return Held(contents, sequences.from_json(values.found))


def differing(
    postgres: Postgres,
    target: OtherSide,
    databases: Sequence[str],
    wholly: bool,
    at_once: int,
    also: Sequence[Tuple[str, str, str]] = (),
) -> Difference:
    """Row counts compared, or contents if `wholly`; those of the tables `also` (database, schema, name) in any case. Takes as long as reading the tables does; both sides read at the same time. Raises
    Refusal."""
    sides = [(database, here) for here in (False, True) for database in databases]

    def read(side: Tuple[str, bool]) -> Held:
        database, here = side
        named = [Qualified(schema, name) for in_, schema, name in also if in_ == database]
        # One login for all of it: on the way back each costs refused writes.
        if here:
            text, where = postgres.execute(script(_SUBSCRIBED, wholly, named), database), "here"
        else:
            text, where = target.ask(script(_PUBLISHED, wholly, named), database, seconds=None), "on DB_A"
        return held(text, f"{database} {where}")

    found = dict(zip(sides, postgres.server.side_by_side(read, sides, at_once)))
    pairs = [(database, found[database, True], found[database, False]) for database in databases]
    return Difference(
        tables=[sentence for one, here, there in pairs for sentence in compare(one, here.tables, there.tables)],
        one_sided=[
            sentence
            for one, here, there in pairs
            for sentence in _only(f"{one}: the sequence", here.sequences, there.sequences)
        ],
        sequences={
            one: {name: value for name, value in there.sequences.items() if name in here.sequences}
            for one, here, there in pairs
        },
    )


def compare(database: str, here: Contents, there: Contents) -> List[str]:
    """The differences between the old primary's tables (`here`) and DB_A's. Pure."""
    wrong = _only(f"{database}:", here, there)
    for name in sorted(here.keys() & there.keys()):
        mine, theirs = here[name], there[name]
        if mine[0] != theirs[0]:
            wrong.append(f"{database}: {name} has {theirs[0]} rows on DB_A and {mine[0]} here")
        elif mine != theirs:
            wrong.append(f"{database}: {name} has other rows on DB_A than here")
    return wrong


def _only(what: str, here: Mapping[Qualified, object], there: Mapping[Qualified, object]) -> List[str]:
    return [
        f"{what} {name} is only on {'the old primary' if name in here else 'DB_A'}"
        for name in sorted(here.keys() ^ there.keys())
    ]
