"""The journal of a database server: which phase was announced to it, and what it may do with writes. Written before the act."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Dict, Mapping, Optional

from agent.report import Refusal
from agent.server import STATE_FOLDER, Server
from agent.states import Phase

JOURNAL_FILE = f"{STATE_FOLDER}/journal.json"


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
class Journal:
    """What a database server remembers. `epoch` rises with every change of authority; `renounced` is the highest epoch whose
    authority DB_A has given up for good; `upgraded_at` the fence at which DB_A was promoted; `must_apply` DB_A's own fence, up to
    which an old primary that took the authority back has to follow before it opens."""

    phase: Phase
    round: int
    finished: bool
    authority: Authority
    epoch: int
    fence: Optional[Fence] = None
    upgraded_at: Optional[Fence] = None
    renounced: int = 0
    must_apply: Optional[Fence] = None

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
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise Refusal(
            f"a journal of this version in {JOURNAL_FILE}",
            f"{dict(found)} ({wrong})",
            "restore the file, or ask for help",
        ) from wrong


def read(server: Server) -> Optional[Journal]:
    """This server's journal; None before anything was announced to it."""
    found = server.read_json(JOURNAL_FILE)
    return from_json(found) if found else None


def must_read(server: Server) -> Journal:
    journal = read(server)
    if journal is None:
        raise Refusal(f"a journal in {JOURNAL_FILE}", "none", "run `pulumi up` with phase prepare first")
    return journal


def write(server: Server, journal: Journal) -> None:
    server.write_json(JOURNAL_FILE, journal.to_json())


def update(server: Server, **changes: Any) -> Journal:
    """Read the journal, write it with these changes, durably, and hand it back; alone, for a rebuild may run beside other verbs."""
    with server.only_one("journal", patience=10):
        changed = replace(must_read(server), **changes)
        write(server, changed)
    return changed
