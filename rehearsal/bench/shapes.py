"""The data that windows are measured on: so many relations in so many databases, of which the clients write to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rehearsal.asked import RELATIONS_A_TABLE
from rehearsal.data.fill import TABLESPACE, Psql, script
from rehearsal.lab import databases
from rehearsal.lab.hosts import Host

WRITTEN = "shop"
"""The database with the clients' tables. It is there in every shape."""
ROWS = 5_000
# What the lab's schema has beside it, and no shape here.
OTHERS = ("forum", "metrics", "bench")


@dataclass(frozen=True)
class Shape:
    """So many further tables, spread evenly over `databases` databases. What that comes to is counted on the server (`counted`)."""

    name: str
    databases: int
    tables: int

    @property
    def more(self) -> list[str]:
        """The databases beside WRITTEN."""
        return [f"tenant{number}" for number in range(1, self.databases)]

    def spread(self) -> dict[str, int]:
        """How many further tables each database gets."""
        places = [WRITTEN, *self.more]
        each, left = divmod(self.tables, len(places))
        return {place: each + (number < left) for number, place in enumerate(places)}


# WRITTEN's own schema is some 60 relations.
SHAPES = (
    Shape("50 relations", 1, 0),
    Shape("2,000 relations", 1, 2_000 // RELATIONS_A_TABLE - 13),
    Shape("10,000 relations", 1, 10_000 // RELATIONS_A_TABLE - 13),
    Shape("2,000 relations in 20 databases", 20, 2_000 // RELATIONS_A_TABLE - 13),
)


def fill(shape: Shape, primary: Host) -> None:
    """Make it on an empty primary, whose tablespace's folder is there. Raises LabError."""
    make(shape, partial(databases.psql, primary))


def make(shape: Shape, psql: Psql, tablespace: str = TABLESPACE) -> None:
    """The same, by any psql. Raises what it raises."""
    psql("postgres", script("cluster", tablespace=tablespace))
    for database in OTHERS:
        psql("postgres", f"DROP DATABASE {database};")
    psql(WRITTEN, script("ledger"))
    for name in (WRITTEN, f"{WRITTEN}_rows"):
        psql(WRITTEN, script(name, rows=ROWS))
    for database in shape.more:
        psql("postgres", f"CREATE DATABASE {database} OWNER app_owner;")
    for database, tables in shape.spread().items():
        if tables:
            psql(database, script("many", extra_tables=tables))


def counted(shape: Shape, psql: Callable[[str, str], str], count: str) -> int:
    """How many relations it has in all, `count` being a query of one number."""
    return sum(int(psql(database, count)) for database in (WRITTEN, *shape.more))
