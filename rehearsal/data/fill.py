"""Fill a fresh server with the lab's databases: shop, forum, metrics, and pgbench's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SCHEMA = Path(__file__).parent / "schema"
LEDGER_DATABASES = ("shop", "forum", "metrics")
"""The databases that clients write to; each holds a ledger."""
DATABASES = (*LEDGER_DATABASES, "bench")
"""Every database that `fill` makes, whatever the size."""
TABLESPACE = "/var/lib/postgresql/space/archive"
"""The tablespace's folder, outside the data directory. Replicas that already stream need it before `fill` runs."""

Psql = Callable[[str, str], str]
"""psql(database, text): what the program psql prints for `text` on its standard input, run as a superuser with
-X -q -A -t -v ON_ERROR_STOP=1. Raises if psql's exit status is not 0."""


@dataclass(frozen=True)
class Size:
    """How much data: `rows` customers (other tables follow), pgbench's scale, tables beyond those of the schema (spread over `metrics` and
    the databases beyond DATABASES), databases in all, large objects beside the clients' own."""

    rows: int = 5_000
    bench_scale: int = 2
    extra_tables: int = 40
    databases: int = len(DATABASES)
    large_objects: int = 0

    @property
    def more(self) -> list[str]:
        """The databases beyond DATABASES."""
        return [f"tenant{number}" for number in range(1, self.databases - len(DATABASES) + 1)]

    def tables(self) -> dict[str, int]:
        """How many further tables each database gets that gets some."""
        places = ["metrics", *self.more]
        each, left = divmod(self.extra_tables, len(places))
        return {place: each + (number < left) for number, place in enumerate(places)}


ORDINARY = Size()
"""What a rehearsal uses when nobody asks for more."""


def fill(
    psql: Psql, pgbench: Callable[[Sequence[str]], object], size: Size = ORDINARY, tablespace: str = TABLESPACE
) -> None:
    """Make the roles, the tablespace, and the databases with their rows.

    `pgbench` is called once with the arguments that initialize the database `bench`, and runs the program with them as
    the same superuser. The tablespace's folder must be there, empty, and belong to the server's user.
    Raises what `psql` and `pgbench` raise, for instance when the databases are there already.
    """
    psql("postgres", script("cluster", tablespace=tablespace))
    for database in LEDGER_DATABASES:
        psql(database, script("ledger"))
        psql(database, script(database, rows=size.rows))
    psql("shop", script("shop_rows", rows=size.rows))
    for database in size.more:
        psql("postgres", f"CREATE DATABASE {database} OWNER app_owner;")
    for database, tables in size.tables().items():
        psql(database, script("many", extra_tables=tables))
    if size.large_objects:
        psql("shop", script("large_objects", large_objects=size.large_objects))
    pgbench(["--initialize", "--quiet", "--scale", str(size.bench_scale), "bench"])


def script(name: str, **variables: int | str) -> str:
    """The text of schema/<name>.sql with psql variables set in front of it."""
    settings = [f"\\set {key} {value}" for key, value in variables.items()]
    return "\n".join([*settings, (SCHEMA / f"{name}.sql").read_text()])
