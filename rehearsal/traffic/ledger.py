"""Reconciliation: every write that a client was told is done, looked up in the databases, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rehearsal.traffic.log import Operation

_ENTRIES = "SELECT id, whole FROM public.ledger_entry;"


@dataclass(frozen=True)
class Entries:
    """The ids in one database's ledger; `torn` are those whose transaction left less than it should have."""

    ids: frozenset[str] = frozenset()
    torn: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reconciliation:
    """What became of the writes.

    `missing`: acknowledged and not there. `failed_present`: the client was told no, and it is there. `torn`: there, and
    not whole. `strangers`: there, and in no log. The unknown ones may be either; that is why they are called so.
    """

    acknowledged: int = 0
    missing: list[Operation] = field(default_factory=list)
    failed_present: list[Operation] = field(default_factory=list)
    unknown_present: list[Operation] = field(default_factory=list)
    unknown_absent: list[Operation] = field(default_factory=list)
    torn: list[Operation] = field(default_factory=list)
    strangers: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def found(self) -> int:
        """How many acknowledged writes are there."""
        return self.acknowledged - len(self.missing)

    @property
    def whole(self) -> bool:
        """Whether nothing that was acknowledged is lost or torn, and nothing that was refused is there."""
        return not (self.missing or self.torn or self.failed_present)


def entries(psql: Callable[[str, str], str], databases: Iterable[str]) -> dict[str, Entries]:
    """Read the ledgers: `psql` as in `rehearsal.data.fill.Psql`, `databases` those that hold one."""
    found = {}
    for database in databases:
        rows = [line.split("|") for line in psql(database, _ENTRIES).split()]
        found[database] = Entries(
            frozenset(entry for entry, _ in rows), frozenset(entry for entry, whole in rows if whole != "t")
        )
    return found


def reconcile(operations: Iterable[Operation], found: Mapping[str, Entries]) -> Reconciliation:
    """Compare the logs with the ledgers (`entries`), each write with the ledger of the database it wrote to.

    Collect the logs first and read the ledgers then, or stop the clients before: the other way round, what was written
    in between would look lost. This way it is a stranger at worst. A database that was written to and is not in `found` counts as empty.
    """
    result = Reconciliation()
    logged: dict[str, set[str]] = {database: set() for database in found}
    acknowledged = 0
    for one in operations:
        if one.kind != "write" or one.id is None:
            continue
        logged.setdefault(one.database, set()).add(one.id)
        ledger = found.get(one.database, Entries())
        present = one.id in ledger.ids
        if one.id in ledger.torn:
            result.torn.append(one)
        if one.outcome == "acknowledged":
            acknowledged += 1
            if not present:
                result.missing.append(one)
        elif one.outcome == "unknown":
            (result.unknown_present if present else result.unknown_absent).append(one)
        elif present:
            result.failed_present.append(one)
    strangers = {database: ledger.ids - logged[database] for database, ledger in found.items()}
    return Reconciliation(
        acknowledged,
        result.missing,
        result.failed_present,
        result.unknown_present,
        result.unknown_absent,
        result.torn,
        {database: ids for database, ids in strangers.items() if ids},
    )
