"""The clients' logs in figures: operations in buckets, and percentiles of how long they took. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from rehearsal.report.model import BUCKET_MILLISECONDS, Client, Kind, Lane, Latency, Span, Spell, Traffic
from rehearsal.traffic.log import Count, Operation, counts, read_errors

KINDS: tuple[Kind, ...] = ("read", "write")
SPANS: tuple[Span, ...] = ("before", "during", "after")


def traffic(
    operations: Sequence[Operation], servers: Mapping[str, str], online: Iterable[str], judged: Iterable[str]
) -> Traffic:
    """Count the operations. `servers`: name -> address, of the whole fleet; lanes come in its order.

    An operation counts where it started: so a bucket's failures lie in the outage that `rehearsal.traffic.outage` reckons from them.
    Raises ValueError if there is no operation, or one was answered by an address that is no server's.
    """
    if not operations:
        raise ValueError("expected operations to count, found none: a run without traffic shows nothing")
    names = {address: name for name, address in servers.items()}
    first = min(_bucket(one.start) for one in operations)
    number = max(_bucket(one.start) for one in operations) - first + 1
    found: dict[tuple[str, str, Kind], tuple[list[int], list[int]]] = defaultdict(lambda: ([0] * number, [0] * number))
    for one in operations:
        if one.address is not None and one.address not in names:
            raise ValueError(
                f"expected {one.server} to be answered by a server of the fleet, found the address {one.address}"
            )
        where = _bucket(one.start) - first
        found["client", one.server, one.kind][not one.ok][where] += 1
        if one.address is not None:
            found["database", names[one.address], one.kind][not one.ok][where] += 1
    lanes = [
        Lane(side=side, server=server, kind=kind, succeeded=succeeded, failed=failed)
        for side in ("client", "database")
        for server in servers
        for kind in KINDS
        for succeeded, failed in [found.get((side, server, kind), ([], []))]
        if succeeded
    ]
    return Traffic(
        began=first * BUCKET_MILLISECONDS / 1000,
        bucket_milliseconds=BUCKET_MILLISECONDS,
        buckets=number,
        lanes=lanes,
        clients=clients(operations, online, judged),
    )


def _bucket(moment: float) -> int:
    """To the nearest millisecond first: 0.3 / 0.1 is less than 3."""
    return round(moment * 1000) // BUCKET_MILLISECONDS


def clients(operations: Sequence[Operation], online: Iterable[str], judged: Iterable[str]) -> list[Client]:
    """Totals of each kind of client."""
    found, must = counts(operations), set(judged)
    there = read_errors(operations, online)
    totals = []
    for name in sorted({client for client, _ in found}):
        reads, writes = (found.get((name, kind), Count()) for kind in KINDS)
        totals.append(
            Client(
                name=name,
                reads=reads.total,
                reads_failed=reads.failed,
                reads_failed_online=sum(1 for one in there if one.client == name),
                writes=writes.total,
                writes_failed=writes.failed,
                judged=name in must,
            )
        )
    return totals


def latencies(operations: Iterable[Operation], online: Iterable[str], window: Spell | None) -> list[Latency]:
    """How long what succeeded on the online servers took, before, during and after the window. Without one all is `before`;
    what has no operation has no row."""
    watched = set(online)
    took: dict[tuple[Kind, str, Span], list[float]] = defaultdict(list)
    for one in operations:
        if one.ok and one.server in watched:
            took[one.kind, one.client, _span(one.start, window)].append((one.end - one.start) * 1000)
    ordered = sorted(took.items(), key=lambda row: (row[0][0], row[0][1], SPANS.index(row[0][2])))
    return [
        Latency(
            span=span,
            client=client,
            kind=kind,
            count=len(values),
            p50=percentile(values, 50),
            p95=percentile(values, 95),
            p99=percentile(values, 99),
            slowest=percentile(values, 100),
        )
        for (kind, client, span), values in ordered
    ]


def _span(start: float, window: Spell | None) -> Span:
    if window is None or start < window.since:
        return "before"
    return "during" if window.until is None or start < window.until else "after"


def percentile(values: Sequence[float], percent: int) -> float:
    """By nearest rank: a value that was seen, at which or below so many percent of them lie; rounded to microseconds."""
    return round(sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)], 3)
