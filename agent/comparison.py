"""What both sides hold, compared before the old primary opens again: an UPDATE whose row is missing is skipped in silence by
logical replication, so that a stream which never failed proves nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from agent import sequences
from agent.other_side import OtherSide
from agent.own_names import PUBLICATION
from agent.postgres import Postgres
from agent.sequences import Values
from agent.subscriber import SUBSCRIPTION

# Each side says by itself which tables the stream carries: a list that differed would show.
_SUBSCRIBED = f"""SELECT array_agg(format('%I.%I', n.nspname, c.relname)) FROM pg_subscription_rel r
  JOIN pg_subscription s ON s.oid = r.srsubid JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE s.subname = '{SUBSCRIPTION}' AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_PUBLISHED = f"""SELECT array_agg(format('%I.%I', schemaname, tablename)) FROM pg_publication_tables WHERE pubname = '{PUBLICATION}'"""

Contents = Dict[str, Tuple[int, str]]
"""Table -> rows, and a digest of them ("" if they were only counted)."""


@dataclass(frozen=True)
class Difference:
    """Tables that are not equal, in sentences, and DB_A's sequences by database."""

    tables: List[str]
    sequences: Dict[str, Values]


def contents_query(carried: str, wholly: bool) -> str:
    """Asks the function of the schema pgleap (see functions) for tables' contents, as JSON; `carried` is SQL for their names. Pure."""
    return (
        "SELECT coalesce(json_object_agg(name, json_build_array(rows, digest)), '{}')"
        f" FROM pgleap.contents(coalesce(({carried}), '{{}}'::text[]), {str(wholly).lower()});"
    )


def differing(
    postgres: Postgres, target: OtherSide, databases: Sequence[str], wholly: bool, at_once: int
) -> Difference:
    """Row counts compared, or contents if `wholly`. Takes as long as reading the tables does; both sides read at the same time."""
    sides = [(database, here) for here in (False, True) for database in databases]

    def read(side: Tuple[str, bool]) -> Tuple[Contents, Values]:
        database, here = side
        if here:
            return _contents(postgres.execute(contents_query(_SUBSCRIBED, wholly), database)), {}
        # One login for both: on the way back each costs refused writes.
        text = target.ask(f"{contents_query(_PUBLISHED, wholly)}\n{sequences.READ}", database, seconds=None)
        held, values = text.splitlines()
        return _contents(held), sequences.parsed(values)

    found = dict(zip(sides, postgres.server.side_by_side(read, sides, at_once)))
    return Difference(
        tables=[
            sentence
            for database in databases
            for sentence in compare(database, found[database, True][0], found[database, False][0])
        ],
        sequences={database: found[database, False][1] for database in databases},
    )


def _contents(text: str) -> Contents:
    found: Mapping[str, List[Any]] = json.loads(text)
    return {name: (int(rows), str(digest)) for name, (rows, digest) in found.items()}


def compare(database: str, here: Contents, there: Contents) -> List[str]:
    """The differences between the old primary's tables (`here`) and DB_A's. Pure."""
    wrong = []
    for name in sorted({*here, *there}):
        mine, theirs = here.get(name), there.get(name)
        if mine is None or theirs is None:
            wrong.append(f"{database}: {name} is only on {'DB_A' if mine is None else 'the old primary'}")
        elif mine[0] != theirs[0]:
            wrong.append(f"{database}: {name} has {theirs[0]} rows on DB_A and {mine[0]} here")
        elif mine != theirs:
            wrong.append(f"{database}: {name} has other rows on DB_A than here")
    return wrong
