"""The meter as a table."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from scripts.watch.meter import Meter, Row

MAJOR = 10_000


def table(meter: Meter, now: float, servers: dict[str, str]) -> Table:
    """`now` in seconds since the epoch; `servers`: address -> the name of a server of the stack."""
    shown = Table("name", "client", "", "answers", "ok/s", "95 % ms", "tried", "failed", "SQLSTATE", "refused for")
    for (name, client, kind), row in sorted(meter.rows.items()):
        slow = row.slow(now)
        shown.add_row(
            escape(name),
            client,
            kind,
            escape(answers(row, servers)),
            f"{row.rate(now):.1f}",
            "" if slow is None else f"{1000 * slow:.0f}",
            str(row.total),
            str(row.failed) if row.failed else "",
            escape(", ".join(f"{state} {count}" for state, count in row.errors.most_common())),
            refused(row, now),
            style="red" if row.failing_since is not None else "",
        )
    return shown


def answers(row: Row, servers: dict[str, str]) -> str:
    """Which server answered last, its version, and whether it takes writes."""
    last = row.last
    if last is None or last.version is None:
        return "nobody"
    where = servers.get(last.address or "", last.address or "its socket")
    role = "takes writes" if last.takes_writes else "replica"
    return f"{where}, {last.version // MAJOR}, {role}"


def refused(row: Row, now: float) -> str:
    """How long it has been failing, or for how long it ever was."""
    if row.failing_since is not None:
        return f"{now - row.failing_since:.1f} s"
    return f"(was {row.longest:.1f} s)" if row.longest else ""


def errors(meter: Meter) -> list[str]:
    """The last error of each row that has one, in the server's words."""
    return [
        f"{name}, {client}, {kind}: {row.last_error}"
        for (name, client, kind), row in sorted(meter.rows.items())
        if row.last_error
    ]
