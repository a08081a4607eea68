"""What is told of a fault: what was refused, how it was repaired, and what the clients saw meanwhile."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from rehearsal.drill.expect import WrongError
from rehearsal.rehearse import JUDGED
from rehearsal.traffic.ledger import Reconciliation
from rehearsal.traffic.log import Operation, read_errors
from rehearsal.traffic.outage import outage

# A message is a line of a table: whoever wants all of it sees it where it is refused.
LETTERS = 230
# Seconds and phase, as scripts.window says them; the engine's and the agent's own words for "it failed".
SAID_BEFORE = re.compile(r"^.*?pgleap: refused\. |^.*?error: |^[\d.]+ s  ((prepare|readonly|upgrade|cutover): )?")


class Fault(StrEnum):
    """Every fault that the lab makes, in the order in which it happens."""

    DISK_FULL_AT_BASE_BACKUP = "DB_A's disk is full during the base backup"
    PREPARED_TRANSACTION = "A prepared transaction stands on db1 when `readonly` begins"
    LAG_BEFORE = "DB_A is far behind when `readonly` begins"
    ENGINE_KILLED_AT_READONLY = (
        "The engine is killed (SIGKILL) in the middle of `readonly`, while the old primary seals"
    )
    PRIMARY_DIES_SEALED = "db1 loses its power while it is sealed, and comes back"
    OLD_SESSIONS = (
        "Sessions from before the seal, rude ones after it, asynchronous commits just before it, a nightly VACUUM in it"
    )
    LOGICAL_CONSUMER = "A logical consumer (pg_recvlogical) follows db1 when `readonly` begins, and tries to come back"
    ENGINE_KILLED_AT_PREPARE = (
        "The engine is killed in the middle of `prepare`, on the way back, once the old primary has opened"
    )
    INTERRUPTED_AT_READONLY = "^C of `scripts.window` in `readonly`, once the old primary is sealed"
    UNREACHABLE_AT_READONLY = "A web server is off the network at `readonly`"
    MUTE_AT_READONLY = "A web server's sshd accepts and stays mute at `readonly`"
    LAG_AT_FENCE = "DB_A falls behind after the check, and is when the fence falls"
    DISK_FULL_AT_UPGRADE = "DB_A's disk is full during pg_upgrade"
    LIBRARY_MISSING = "An extension's library is missing in 17 when pg_upgrade comes to it"
    INTERRUPTED_AT_UPGRADE = "^C of `scripts.window` in `upgrade`, during pg_upgrade"
    SSH_CUT_AT_UPGRADE = "The SSH connection is cut during pg_upgrade"
    INTERRUPTED_AT_CUTOVER = "^C of `scripts.window` in `cutover`, before DB_A opened"
    NETWORK_CUT_AT_REPLAY = "The network between DB_A and db1 is cut while DB_A replays"
    ENGINE_KILLED_AT_UPGRADE = "The engine is killed in the middle of `upgrade`, during pg_upgrade"
    ENGINE_KILLED_AT_CUTOVER = "The engine is killed in the middle of `cutover`, before DB_A opened"
    NETWORK_CUT_AT_CUTOVER = "The network between DB_A and db1 is cut between the release and the opening"
    WEB_SERVERS_AT_CUTOVER = "One web server is off the network and another's sshd stays mute at `cutover`"


class Practice(StrEnum):
    """Every way back that is practised with nothing broken, and the way forward again."""

    FROM_READONLY = "The way back from `readonly`, and forward again"
    FROM_UPGRADE = "The way back from `upgrade`, and forward again"
    FROM_CUTOVER = "The way back from `cutover`, with all that DB_A took, and forward again"


@dataclass
class Story:
    """One fault, or one way back that is practised.

    `explained` are the servers whose reads failed because the fault is theirs; `back` is how many seconds after the command began an online
    server's write was accepted again, where that was to be within five; `forward` how many it took to come as far again after a way back.
    """

    fault: Fault | Practice
    since: float
    until: float = 0.0
    refused: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)
    back: float | None = None
    forward: float | None = None

    def refuses(self, said: str, words: str) -> str:
        """The message with these words, which is kept; all of it is returned. Fails if there is none."""
        found = next((line for line in said.splitlines() if words in line), None)
        if found is None:
            raise WrongError(f"nobody said {words!r}:\n{said}")
        text = SAID_BEFORE.sub("", found.strip())
        text = re.sub(r"\. To do: .*", ".", text)
        self.refused.append(text if len(text) <= LETTERS else f"{text[:LETTERS]}…")
        return found

    def repairs(self, *commands: str) -> None:
        """What was done about it, word for word."""
        self.repaired += commands

    def has(self, one: Operation) -> bool:
        """Whether a client began this while it was told."""
        return self.since <= one.start < self.until


@dataclass
class Stories:
    """All that were told so far, and those that broke off."""

    told: list[Story] = field(default_factory=list)
    broken: list[Story] = field(default_factory=list)

    @contextmanager
    def tell(self, fault: Fault | Practice) -> Iterator[Story]:
        """The story of one fault; it is told only if it comes to its end."""
        story, kept = Story(fault, time.time()), self.broken
        try:
            yield story
            kept = self.told
        finally:
            story.until = time.time()
            kept.append(story)

    def are_whole(self) -> bool:
        """Whether every fault was told, each once."""
        return sorted(story.fault for story in self.told if isinstance(story.fault, Fault)) == sorted(Fault)

    def explain(self, one: Operation) -> bool:
        """Whether this failed because a fault was its own server's; one story may lie within another."""
        return any(story.has(one) and one.server in story.explained for story in (*self.told, *self.broken))

    def in_order(self) -> list[Story]:
        """The stories by their beginning: one may be told within another."""
        return sorted(self.told, key=lambda story: story.since)

    def all_in_order(self) -> list[Story]:
        """The same, with those that broke off."""
        return sorted((*self.told, *self.broken), key=lambda story: story.since)


@dataclass(frozen=True)
class Row:
    """One line of the table, as docs/faults.md shows it. `seconds`: how long it took; `writes_refused`: from the first write that was refused
    on an online server meanwhile to the first accepted again, in seconds, None if none was or they were never all accepted again."""

    fault: str
    refused: list[str]
    acknowledged: int
    lost: int
    reads: int
    read_errors: int
    explained: dict[str, int]
    repaired: list[str]
    back: float | None
    seconds: float = 0.0
    writes_refused: float | None = None
    forward: float | None = None


def row(
    story: Story, stories: Stories, operations: Collection[Operation], ledger: Reconciliation, online: Iterable[str]
) -> Row:
    """The figures of one story, from what the clients logged and what was found in the end. Pure."""
    mine = [one for one in operations if story.has(one)]
    names = set(online)
    watched = [one for one in mine if one.client in JUDGED]
    failed = read_errors(watched, names)
    explained = Counter(one.server for one in failed if stories.explain(one))
    return Row(
        fault=story.fault.value,
        refused=story.refused,
        acknowledged=sum(one.outcome == "acknowledged" for one in mine),
        lost=sum(story.has(one) for one in (*ledger.missing, *ledger.torn)),
        reads=sum(one.kind == "read" and one.server in names for one in watched),
        read_errors=len(failed) - explained.total(),
        explained=dict(sorted(explained.items())),
        repaired=story.repaired,
        back=story.back,
        seconds=round(story.until - story.since, 1),
        writes_refused=_refused(mine, names),
        forward=story.forward,
    )


def _refused(operations: Iterable[Operation], online: Iterable[str]) -> float | None:
    try:
        window = outage(operations, online).window
    except ValueError:  # a server without a write: it was off the network all the while
        return None
    return None if window is None or window.until is None else round(window.seconds, 2)


def keep(rows: Iterable[Row], file: Path) -> None:
    """Write the rows down."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([vars(one) for one in rows], indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def kept(file: Path) -> list[Row]:
    """The rows that were written down."""
    return [Row(**one) for one in json.loads(file.read_text(encoding="utf-8"))]
