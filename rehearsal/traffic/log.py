"""What the clients logged: one operation a line, read back from the files that `install.collect` brought."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["read", "write"]
Outcome = Literal["acknowledged", "failed", "unknown"]


@dataclass(frozen=True)
class Operation:
    """One read or write as its client saw it; see client.py for what each field means.

    `server` is the server that the client ran on. `start` and `end` are seconds since the epoch. `id` and `outcome`
    are None for reads.
    """

    server: str
    client: str
    kind: Kind
    name: str
    database: str
    start: float
    end: float
    ok: bool
    sqlstate: str | None = None
    error: str | None = None
    address: str | None = None
    version: int | None = None
    id: str | None = None
    outcome: Outcome | None = None


@dataclass
class Count:
    """How many operations there were, and the failed ones among them by SQLSTATE."""

    total: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        return self.errors.total()


def parse(text: str, server: str) -> list[Operation]:
    """The operations in one client's log, in the order they ended.

    A last line without its newline is left out: the client was killed while it wrote it. Anything else that is not an
    operation raises ValueError, for a log that cannot be read proves nothing.
    """
    whole = text[: text.rfind("\n") + 1]
    operations = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            operations.append(Operation(server=server, **json.loads(line)))
        except (ValueError, TypeError) as wrong:
            raise ValueError(
                f"{server}: expected an operation in line {number} of its log, found {line[:200]!r}"
            ) from wrong
    return operations


def read(folder: Path) -> list[Operation]:
    """Every operation in <folder>/<server>/<kind>.jsonl, by the time it started.

    Raises FileNotFoundError if there is no log at all: no traffic must not look like no errors.
    """
    files = sorted(folder.glob("*/*.jsonl"))
    if not files:
        raise FileNotFoundError(f"expected logs at {folder}/<server>/<kind>.jsonl, found none; collect them first")
    operations = [one for file in files for one in parse(file.read_text(encoding="utf-8"), file.parent.name)]
    return sorted(operations, key=lambda one: one.start)


def counts(operations: Iterable[Operation]) -> dict[tuple[str, Kind], Count]:
    """Totals and errors for each client kind and operation kind."""
    found: dict[tuple[str, Kind], Count] = {}
    for one in operations:
        count = found.setdefault((one.client, one.kind), Count())
        count.total += 1
        if not one.ok:
            count.errors[one.sqlstate or "none"] += 1
    return dict(sorted(found.items()))


def read_errors(operations: Iterable[Operation], servers: Iterable[str]) -> list[Operation]:
    """The failed reads of clients on these servers: for the online servers and clients that test there must be none."""
    watched = set(servers)
    return [one for one in operations if one.kind == "read" and not one.ok and one.server in watched]
