"""The journal of a database server: which phase was announced to it, and what it may do with writes. Written before the act."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from agent import identity
from agent.places import INSTALLED
from agent.report import Refusal
from agent.server import STATE_FOLDER, Server
from agent.states import Phase

JOURNAL_FILE = f"{STATE_FOLDER}/journal.json"
# Each `up` writes a journal a few times: what was seen is seldom so far back.
MARKS_KEPT = 300
# What a person types who knows that the machine, or the cluster, of before is gone for good.
ADOPT = f"python3 -I {INSTALLED} adopt"


class Authority(str, Enum):
    """What this database may do with client writes. At most one database of a fleet holds the authority."""

    NONE = "none"
    HOLDS = "holds"
    SEALED = "sealed"
    RELEASED = "released to DB_A"


@dataclass(frozen=True)
class Fence:
    """The last point a sealed database reached: `xid` the next transaction id, `lsn` the WAL position."""

    xid: int
    lsn: str


@dataclass(frozen=True)
class Seen:
    """The other side's journal as it was seen last: whose it was (`machine`), how often it had been written (`serial`), and the last of its
    `marks`, "" in one of before they were kept."""

    machine: str
    serial: int
    mark: str = ""


@dataclass(frozen=True)
class Journal:
    """What a database server remembers. `epoch` rises with every change of authority; `renounced` is the highest epoch whose
    authority DB_A has given up for good; `upgraded_at` the fence at which DB_A was promoted; `must_apply` DB_A's own fence, up to
    which an old primary that took the authority back has to follow before it opens; `alone` says that DB_A opened without the old
    primary, and on an old replica, that it may have; `compare` are the tables (database, schema, name) whose contents have to be equal at
    DB_A's fence, for equal row counts prove nothing of them; `not_carried` is what was made, changed or dropped behind DB_A's seal, in
    sentences, and no stream carries.

    Whose it is: `machine` and `cluster` (see identity), "" in a journal of before they were kept. `serial` counts how often it was
    written, and `marks` has a random word of each time, oldest first: an older image that is written again counts up to the same number, and never
    comes to the same words. `seen` is the other side's. Two journals that differ in these alone say the same."""

    phase: Phase
    round: int
    finished: bool
    authority: Authority
    epoch: int
    fence: Optional[Fence] = None
    upgraded_at: Optional[Fence] = None
    renounced: int = 0
    must_apply: Optional[Fence] = None
    alone: bool = False
    machine: str = field(default="", compare=False)
    cluster: str = field(default="", compare=False)
    serial: int = field(default=0, compare=False)
    marks: Tuple[str, ...] = field(default=(), compare=False)
    seen: Optional[Seen] = field(default=None, compare=False)
    compare: Tuple[Tuple[str, str, str], ...] = ()
    not_carried: Tuple[str, ...] = ()

    def to_json(self) -> Dict[str, Any]:
        return {
            "phase": self.phase.value,
            "round": self.round,
            "finished": self.finished,
            "authority": self.authority.value,
            "epoch": self.epoch,
            "fence": vars(self.fence) if self.fence else None,
            "upgraded_at": vars(self.upgraded_at) if self.upgraded_at else None,
            "renounced": self.renounced,
            "must_apply": vars(self.must_apply) if self.must_apply else None,
            "alone": self.alone,
            "machine": self.machine,
            "cluster": self.cluster,
            "serial": self.serial,
            "marks": " ".join(self.marks),
            "seen": vars(self.seen) if self.seen else None,
            "compare": [list(table) for table in self.compare],
            "not_carried": list(self.not_carried),
        }


def from_json(found: Mapping[str, Any]) -> Journal:
    """A journal as it was written, or as the other side shows it. Raises Refusal if it cannot be understood."""
    try:
        return Journal(
            phase=Phase(found["phase"]),
            round=found["round"],
            finished=found["finished"],
            authority=Authority(found["authority"]),
            epoch=found["epoch"],
            fence=Fence(**found["fence"]) if found["fence"] else None,
            upgraded_at=Fence(**found["upgraded_at"]) if found["upgraded_at"] else None,
            renounced=found["renounced"],
            # Not there in a journal of before the way back from cutover.
            must_apply=Fence(**found["must_apply"]) if found.get("must_apply") else None,
            # Not there in a journal of before it was kept whose it is.
            alone=found.get("alone", False),
            machine=found.get("machine", ""),
            cluster=found.get("cluster", ""),
            serial=found.get("serial", 0),
            marks=tuple(found.get("marks", "").split()),
            seen=Seen(**found["seen"]) if found.get("seen") else None,
            compare=tuple((database, schema, name) for database, schema, name in found.get("compare", [])),
            not_carried=tuple(found.get("not_carried", ())),
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise Refusal(
            f"a journal of this version in {JOURNAL_FILE}",
            f"{dict(found)} ({wrong})",
            "restore the file, or ask for help",
        ) from wrong


def read(server: Server) -> Optional[Journal]:
    """This server's journal; None before anything was announced to it. Raises Refusal if it is another machine's."""
    own = _as_it_stands(server)
    here = identity.of_machine(server)
    if own is not None and own.machine and here and own.machine != here:
        raise Refusal(
            f"a journal of this machine ({here}) in {JOURNAL_FILE}",
            f"one of another machine ({own.machine}): this server is a copy of it, or its disk was put here",
            "if the other machine still runs, or will, this one must not: power it off, or empty it; if the other one is gone for good"
            f" and this one takes its place, as root on this server: {ADOPT}",
        )
    return own


def _as_it_stands(server: Server) -> Optional[Journal]:
    try:
        found = server.read_json(JOURNAL_FILE)
    except ValueError as wrong:
        raise Refusal(
            f"a journal that can be read in {JOURNAL_FILE}", f"{wrong}", "restore the file, or ask for help"
        ) from wrong
    return from_json(found) if found else None


def must_read(server: Server) -> Journal:
    journal = read(server)
    if journal is None:
        raise Refusal(f"a journal in {JOURNAL_FILE}", "none", "run `pulumi up` with phase prepare first")
    return journal


def write(server: Server, journal: Journal) -> Journal:
    """Write it, as this machine's; as it was written. Whoever has read it before holds the lock (`alone_with`)."""
    marks = (*journal.marks, os.urandom(4).hex())[-MARKS_KEPT:]
    written = replace(journal, machine=identity.of_machine(server), serial=journal.serial + 1, marks=marks)
    server.write_json(JOURNAL_FILE, written.to_json())
    return written


@contextlib.contextmanager
def alone_with(server: Server) -> Iterator[None]:
    """Nobody else changes the journal meanwhile: a rebuild may run beside other verbs."""
    with server.only_one("journal", patience=10):
        yield


def update(server: Server, **changes: Any) -> Journal:
    """Read the journal, write it with these changes, durably, and hand it back; alone. Where nothing changes it stays as it is."""
    with alone_with(server):
        own = must_read(server)
        wanted = replace(own, **changes)
        return own if wanted == own and wanted.seen == own.seen else write(server, wanted)


def seen(theirs: Journal) -> Seen:
    """What is remembered of the other side's journal."""
    return Seen(theirs.machine, theirs.serial, theirs.marks[-1] if theirs.marks else "")


def has_been(journal: Journal, what: Seen) -> bool:
    """Whether a journal is the one that was seen, as it was then or as it was written since; an older image of it is not, nor one made anew. Pure."""
    if what.mark and journal.serial - what.serial < MARKS_KEPT:
        return what.mark in journal.marks
    # Seen by a version of before the marks; or so long ago that the mark went: DB_A looks at the old primary's when it opens, and not again.
    return not journal.machine or journal.machine != what.machine or journal.serial >= what.serial


def adopt(server: Server) -> None:
    """By hand only, by a person who knows that the machine before is gone for good: the journal is this machine's, and this cluster's."""
    with alone_with(server):
        own = _as_it_stands(server)
        if own is not None:
            write(server, replace(own, cluster="", seen=None))
