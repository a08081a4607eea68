"""What a rehearsal is asked for on the command line: how much data, how much traffic, whose schemas. Each is checked before anything boots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.data.fill import DATABASES, Size
from rehearsal.lab.fleet import Fleet
from rehearsal.lab.place import LabError
from rehearsal.traffic.mix import KINDS, Mix

# What each further table brings: itself, its key, its sequence, its TOAST table and that one's index.
RELATIONS_A_TABLE = 5
MOST_CONNECTIONS = 900
"""What one PostgreSQL of the lab is asked to hold: each is a process, and all servers share one machine. A bound, not a measurement."""


@dataclass(frozen=True)
class Bounds:
    """A whole number from `least` to `most`, and why not more."""

    least: int
    most: int
    why: str


DATA: Mapping[str, Bounds] = {
    "databases": Bounds(len(DATABASES), 100, "each is compared, and followed on a way back by a worker of its own"),
    "relations": Bounds(0, 100_000, "each table is made in a transaction of its own"),
    "rows": Bounds(100, 2_000_000, "every table is compared row by row while writes are refused"),
    "scale": Bounds(1, 100, "pgbench's, on every database server of one machine"),
    "large-objects": Bounds(0, 200_000, "each is compared while writes are refused"),
}
"""databases: in all. relations: rows of pg_class beyond those of the lab's own schema. rows: customers, which other tables follow."""
TRAFFIC: Mapping[str, Bounds] = {
    "reads": Bounds(1, 500, "a client is a Python program, and shares the machine's cores with the databases"),
    "writes": Bounds(1, 200, "a client is a Python program, and shares the machine's cores with the databases"),
    "clients": Bounds(len(KINDS), 24, "each keeps up to a dozen connections"),
    "documents": Bounds(0, 100, "it is a percentage"),
}
"""reads, writes: a second, on each web server. clients: on each web server, dealt to the kinds in turn. documents: of a hundred orders, those
kept with a large object."""
CONFIG_NAMESPACE = "lab:"
DATA_KEY, TRAFFIC_KEY = f"{CONFIG_NAMESPACE}data", f"{CONFIG_NAMESPACE}traffic"
"""Beside a stack's own settings, which pass them over: as much as there is on the real fleet."""
ORDINARY_TRAFFIC = Mix(reads=12, writes=12)
"""What a key of `--traffic` counts as that is not given: about what the clients do that are not told anything."""


@dataclass(frozen=True)
class Dump:
    """A file of `pg_dump --schema-only`, and the database that it is restored into."""

    database: str
    file: Path


def size(text: str | None, given_as: str = "--data") -> Size:
    """How much data, from such as `databases=20,relations=8000`. Pure. Raises LabError with every mistake, each after `given_as`."""
    ordinary = Size()
    given = _numbers(given_as, text, DATA)
    relations = given.get("relations")
    return Size(
        rows=given.get("rows", ordinary.rows),
        bench_scale=given.get("scale", ordinary.bench_scale),
        extra_tables=ordinary.extra_tables if relations is None else round(relations / RELATIONS_A_TABLE),
        databases=given.get("databases", ordinary.databases),
        large_objects=given.get("large-objects", ordinary.large_objects),
    )


def mix(text: str | None, given_as: str = "--traffic") -> Mix | None:
    """How much traffic, from such as `reads=50,writes=20,clients=6`; None if nothing is asked for. Pure. Raises LabError."""
    if not text:
        return None
    given = {name: getattr(ORDINARY_TRAFFIC, name) for name in TRAFFIC} | _numbers(given_as, text, TRAFFIC)
    return Mix(reads=given["reads"], writes=given["writes"], clients=given["clients"], documents=given["documents"])


def in_config(keys: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Data and traffic as the command line has them, from a config's DATA_KEY and TRAFFIC_KEY, such as {largeObjects: 2000}; None for what is
    not there. `keys`: all of the config's. Pure. Raises LabError for another key of that kind, or one that is no mapping."""
    ours = {key: value for key, value in keys.items() if key.startswith(CONFIG_NAMESPACE)}
    mistakes = [
        f"{key}: expected {DATA_KEY} or {TRAFFIC_KEY}" for key in ours if key not in (DATA_KEY, TRAFFIC_KEY)
    ] + [
        f"{key}: expected keys with numbers, such as {{reads: 50}}, found {value!r}"
        for key, value in ours.items()
        if not isinstance(value, Mapping)
    ]
    if mistakes:
        raise LabError("\n".join(mistakes))

    def text(key: str) -> str | None:
        found = ours.get(key)
        return ",".join(f"{_dashed(name)}={value}" for name, value in found.items()) if found else None

    return text(DATA_KEY), text(TRAFFIC_KEY)


def _dashed(name: str) -> str:
    """large-objects, of largeObjects."""
    return re.sub("([A-Z])", r"-\1", name).lower()


def connections(wanted: Mix | None, fleet: Fleet) -> int:
    """How many connections one database has to hold for this traffic; without any asked for, the ordinary one. Pure. Raises LabError for too many."""
    mix_ = wanted or ORDINARY_TRAFFIC
    web_servers = len(fleet.with_role("online", "drained"))
    tasks = sum(len(worker.tasks) for worker in fleet.with_role("worker"))
    found = mix_.connections(web_servers, tasks, len(fleet.names))
    if found > MOST_CONNECTIONS:
        raise LabError(
            f"Expected at most {MOST_CONNECTIONS} connections to one database, found that {web_servers} web servers with"
            f" {mix_.clients} clients each and {len(fleet.names)} database names keep up to {found}: ask for fewer `clients` in"
            " --traffic, or rehearse with fewer names."
        )
    return found


def dumps(given: Iterable[str], wanted: Size) -> list[Dump]:
    """The files of --schema-from, each FILE (whose name without its ending is the database's) or database=FILE. Raises LabError."""
    found: list[Dump] = []
    taken = {*DATABASES, *wanted.more, "postgres", "template0", "template1", "churn"}
    mistakes = []
    for text in given:
        named, is_named, rest = text.partition("=")
        file = Path(rest if is_named else text)
        database = named if is_named else file.stem
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", database):
            mistakes.append(
                f"{text}: expected a database's name of lower case letters, digits and underscores, found {database!r}; give it as"
                f" name={file}"
            )
        elif database in taken:
            mistakes.append(
                f"{text}: the rehearsal has a database {database} already; give another name, {database}_real={file}"
            )
        elif not file.is_file():
            mistakes.append(f"{text}: expected a file of `pg_dump --schema-only`, found none at {file}")
        taken.add(database)
        found.append(Dump(database, file))
    if mistakes:
        raise LabError("--schema-from: " + "\n--schema-from: ".join(mistakes))
    return found


def _numbers(option: str, text: str | None, bounds: Mapping[str, Bounds]) -> dict[str, int]:
    found: dict[str, int] = {}
    mistakes: list[str] = []
    for part in filter(None, (one.strip() for one in (text or "").split(","))):
        key, _, value = part.partition("=")
        if key not in bounds:
            mistakes.append(f"{part!r}: expected key=number with one of the keys {', '.join(bounds)}")
        elif key in found:
            mistakes.append(f"{part!r}: {key} is given twice")
        elif not re.fullmatch("[0-9]+", value):
            mistakes.append(f"{part!r}: expected a whole number")
        elif not bounds[key].least <= int(value) <= bounds[key].most:
            one = bounds[key]
            mistakes.append(f"{part!r}: expected {one.least} to {one.most} ({one.why})")
        else:
            found[key] = int(value)
    if mistakes:
        raise LabError("\n".join(f"{option}: {mistake}" for mistake in mistakes))
    return found
