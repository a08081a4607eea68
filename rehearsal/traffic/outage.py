"""The write outage as the clients saw it.

A client's writes are refused from the start of its first write that was not acknowledged until the end of the first one
that was again. The window is what lies between the first refusal and the last online server's writes being accepted
again (design: "window"): a server accepts again when every one of its clients' writes do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from rehearsal.traffic.log import Operation


@dataclass(frozen=True)
class Spell:
    """A time during which one client's writes, or several clients', were refused; seconds since the epoch.

    `until` is None if no write was acknowledged after it: it had not ended when the log did, at `last`.
    `refused` counts the writes.
    """

    since: float
    until: float | None
    last: float
    refused: int

    @property
    def seconds(self) -> float:
        """How long it lasted; if it had not ended, as far as the log goes."""
        return (self.last if self.until is None else self.until) - self.since


@dataclass(frozen=True)
class Outage:
    """`window`: of all the servers together; `servers`: of each; None where no write was refused.

    `slowest` is the longest that any acknowledged write took, in seconds: a write that is held back and then done is
    no refusal, and is no less of a wait.
    """

    window: Spell | None
    servers: dict[str, Spell | None]
    slowest: float


def outage(
    operations: Iterable[Operation], servers: Iterable[str], since: float = 0.0, until: float = float("inf")
) -> Outage:
    """The outage on these servers (the online ones), of the writes that started in [since, until).

    Give the span of one move when a run made several: two spells with an hour of accepted writes between them are one
    window here. Raises ValueError for a server without a single write in the span: nothing can be said about it then.
    """
    names = sorted(set(servers))
    writes = [one for one in operations if one.kind == "write" and since <= one.start < until and one.server in names]
    for name in names:
        if not any(one.server == name for one in writes):
            raise ValueError(f"expected writes by clients on {name} in the time asked for, found none in its logs")
    found = {name: joined(spells([one for one in writes if one.server == name])) for name in names}
    slowest = max((one.end - one.start for one in writes if one.ok), default=0.0)
    return Outage(joined(spell for spell in found.values() if spell), found, slowest)


def spells(writes: Iterable[Operation]) -> list[Spell]:
    """Every spell of every client among these writes, a client being one kind on one server, by its beginning."""
    found: list[Spell] = []
    ordered = sorted(writes, key=lambda one: (one.server, one.client, one.start))
    for _, group in itertools.groupby(ordered, key=lambda one: (one.server, one.client)):
        runs = [(ok, list(run)) for ok, run in itertools.groupby(group, key=lambda one: one.ok)]
        last = runs[-1][1][-1].end
        for (ok, run), (_, after) in itertools.zip_longest(runs, runs[1:], fillvalue=(True, [])):
            if not ok:
                found.append(Spell(run[0].start, after[0].end if after else None, last, len(run)))
    return sorted(found, key=lambda spell: spell.since)


def joined(parts: Iterable[Spell]) -> Spell | None:
    """One spell from the first beginning to the last end, whatever lies between; None if there is none."""
    every = list(parts)
    if not every:
        return None
    ends = [spell.until for spell in every if spell.until is not None]
    return Spell(
        since=min(spell.since for spell in every),
        until=max(ends) if len(ends) == len(every) else None,
        last=max(spell.last for spell in every),
        refused=sum(spell.refused for spell in every),
    )
