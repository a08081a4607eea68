"""A made-up run of twenty seconds, small and always the same: six servers' traffic, four moves, an outage of some four seconds.

`python -m tests.report.made_up` writes the JSON that is committed beside this file.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from rehearsal.drill.drill import Drilled
from rehearsal.facts import Ground
from rehearsal.foreseen import Foreseen
from rehearsal.rehearse import ONLINE, Judgement
from rehearsal.report import gather
from rehearsal.report.model import (
    Comparison,
    Database,
    HostsFile,
    Machine,
    Move,
    Preview,
    Report,
    Server,
    Step,
    Versions,
)
from rehearsal.traffic.ledger import Entries, reconcile
from rehearsal.traffic.log import Kind, Operation
from rehearsal.traffic.outage import outage
from tests.forecast.windows import shape

FILE = Path(__file__).with_name("report.json")
BEGAN = 1_790_000_000.0
SECONDS = 20.0
# When the made-up databases begin to refuse writes, and when each server's writes are accepted again; in seconds since the beginning.
SEALED, OPENED = 8.0, {"web1": 12.2, "web2": 12.5, "web3": 13.4}
FLEET = (
    ("db1", "primary", "192.0.2.11"),
    ("db2", "replica", "192.0.2.12"),
    ("db-a", "target", "192.0.2.14"),
    ("web1", "online", "192.0.2.21"),
    ("web2", "online", "192.0.2.22"),
    ("web3", "drained", "192.0.2.23"),
)
ADDRESSES = {name: address for name, _, address in FLEET}
STEPS = {
    "prepare": (("db1-announce", 0.2, 0.3), ("db-a-base-backup", 0.5, 1.9), ("db-a-check", 2.0, 2.4)),
    "readonly": (("web1-hosts-file", 0.2, 0.6), ("web2-hosts-file", 0.2, 0.7), ("db1-client-gate", 0.8, 1.3)),
    "upgrade": (("db-a-database", 0.1, 1.6), ("db1-finish", 1.6, 1.7)),
    "cutover": (("db-a-client-gate", 0.1, 0.4), ("web1-hosts-file", 0.45, 0.9), ("web2-hosts-file", 0.45, 1.2)),
}
# Phase: preview from, `up` from, to.
MOVES = {
    "prepare": (1.0, 1.4, 4.0),
    "readonly": (6.6, 7.0, 8.6),
    "upgrade": (8.7, 9.0, 10.8),
    "cutover": (11.2, 11.6, 13.6),
}
BEFORE = "127.0.0.1\tlocalhost\n192.0.2.11 db1.internal.ln\n192.0.2.12 db2.internal.ln\n"
AFTER = "127.0.0.1\tlocalhost\n192.0.2.14 db1.internal.ln\n192.0.2.14 db2.internal.ln\n"


def operations() -> list[Operation]:
    """What three servers' clients logged, by the time it started."""
    found = [one for number, server in enumerate(OPENED) for one in _of(server, random.Random(number))]
    return sorted(found, key=lambda one: one.start)


def _of(server: str, chance: random.Random) -> Iterator[Operation]:
    kinds: tuple[Kind, ...] = ("read", "write")
    for client in ("connect", "testing-pool"):
        for kind in kinds:
            at = chance.random() * 0.2
            while at < SECONDS:
                yield _one(server, client, kind, round(at, 4), chance)
                at += 0.2


def _one(server: str, client: str, kind: Kind, at: float, chance: random.Random) -> Operation:
    refused = SEALED <= at < OPENED[server]
    # Servers that are not online stay where they were, and are refused altogether.
    failed = refused and (kind == "write" or server not in ONLINE)
    took = round(0.001 + chance.expovariate(400) + (0.02 if client == "connect" else 0), 4)
    address = None if failed else _answered_by(kind, at, refused=refused, opened=OPENED[server])
    if failed and client == "testing-pool" and server in ONLINE:
        address = ADDRESSES["db2"]
    return Operation(
        server=server,
        client=client,
        kind=kind,
        name="db1.internal.ln" if kind == "write" else "db2.internal.ln",
        database="shop",
        start=BEGAN + at,
        end=BEGAN + at + took,
        ok=not failed,
        sqlstate=("25006" if address else "28000") if failed else None,
        error="cannot execute INSERT in a read-only transaction <made up>" if failed else None,
        address=address,
        version=None if address is None else 170006 if address == ADDRESSES["db-a"] else 150018,
        id=f"{server}-{client}-{at}" if kind == "write" else None,
        outcome=("failed" if failed else "acknowledged") if kind == "write" else None,
    )


def _answered_by(kind: Kind, at: float, *, refused: bool, opened: float) -> str:
    if at >= opened:
        return ADDRESSES["db-a"]
    return ADDRESSES["db1" if kind == "write" and not refused else "db2"]


def moves() -> list[Move]:
    """The four moves."""
    return [
        Move(
            phase=phase,
            preview=Preview(
                began=BEGAN + read,
                ended=BEGAN + begin,
                text=f"Previewing update (lab):\n  ~ command:remote:Command: (update)\n"
                f"      ~ stdin: (json) {{ <made up> & round: 1 }}\n  ~ phase: {phase}\n",
            ),
            began=BEGAN + begin,
            ended=BEGAN + end,
            steps=[
                Step(name=name, began=BEGAN + begin + since, ended=BEGAN + begin + until)
                for name, since, until in STEPS[phase]
            ],
        )
        for phase, (read, begin, end) in MOVES.items()
    ]


def judgement() -> Judgement:
    """What the made-up rehearsal saw."""
    done = operations()
    there = frozenset(one.id for one in done if one.outcome == "acknowledged" and one.id)
    return Judgement(
        began=BEGAN,
        ended=BEGAN + SECONDS,
        moves=moves(),
        comparison=Comparison(
            began=BEGAN + 10.8, ended=BEGAN + 11.2, differing=[], emptied=["shop: public.basket"], objects=0
        ),
        operations=done,
        outage=outage(done, ONLINE),
        ledger=reconcile(done, {"shop": Entries(there)}),
        ground=Ground(
            Versions(
                pgleap="0.1.0",
                commit=None,
                postgres_old="15.18",
                postgres_new="17.6",
                engine="v3.250.0",
                python="3.11.7",
                plugins={"command": "stand-in", "aws": "stand-in", "Python language host": "stand-in"},
            ),
            Machine(system="Made-up Linux", kernel="6.1", processor="Made-up processor", cores=2, memory=24 * 10**9),
            [Database(name="shop", bytes=123_456_789, relations=400, tables=60, large_objects=12)],
            [Server(name=name, role=role, address=address) for name, role, address in FLEET],
            [HostsFile(server=server, before=BEFORE, after=AFTER) for server in OPENED],
        ),
    )


def foreseen() -> Foreseen:
    """What was forecast of it."""
    return Foreseen(median=20, bad=28, shape=shape(), runs=0)


def report(drilled: Drilled | None = None) -> Report:
    """The report of it."""
    judged = judgement()
    assert judged.ground is not None
    return gather.report(judged, judged.ground, drilled)


if __name__ == "__main__":
    FILE.write_text(report().model_dump_json() + "\n")
