"""The desired states that both sides share: the Pulumi program asks for them, the agent brings them about."""

from __future__ import annotations

from enum import Enum
from typing import Dict, Tuple


class Phase(str, Enum):
    """Where the fleet stands, or is going."""

    PREPARE = "prepare"
    READONLY = "readonly"
    UPGRADE = "upgrade"
    CUTOVER = "cutover"
    REPLICAS = "replicas"
    RETIRE = "retire"

    def __str__(self) -> str:
        return self.value


# From readonly one goes to cutover by way of upgrade, or in one `up`, as scripts.window does: all that upgrade brings about cutover does
# too, in the same order, and an engine's turn in between is 2.7 s of refused writes (measured, docs/performance.md).
MOVES: Dict[Phase, Tuple[Phase, ...]] = {
    Phase.PREPARE: (Phase.READONLY,),
    Phase.READONLY: (Phase.UPGRADE, Phase.CUTOVER, Phase.PREPARE),
    Phase.UPGRADE: (Phase.CUTOVER, Phase.PREPARE),
    Phase.CUTOVER: (Phase.REPLICAS, Phase.UPGRADE),
    Phase.REPLICAS: (Phase.RETIRE, Phase.CUTOVER),
    Phase.RETIRE: (),
}


def goes_back(before: Phase, to: Phase) -> bool:
    """Whether the move leads to an earlier column of the table."""
    order = list(Phase)
    return order.index(to) < order.index(before)


def step_towards(before: Phase, to: Phase) -> Phase:
    """The move from `before` that leads in the direction of `to`; `before` itself where there is none."""
    same_way = [move for move in MOVES[before] if goes_back(before, move) == goes_back(before, to)]
    return (*same_way, before)[0]


class Gate(str, Enum):
    """Whether clients get into a database server."""

    OPEN = "open"
    SEALED = "sealed"
    # Sealed for good: the fence was proved once more, and the authority to write handed to DB_A.
    RELEASED = "sealed, released to DB_A"


class Target(str, Enum):
    """What DB_A's PostgreSQL is. Its client gate is a state of its own."""

    STANDBY = "old-version standby"
    PRIMARY = "new-version primary"


class Stream(str, Enum):
    """The reverse stream's half on the old primary."""

    NONE = "none"
    # Made ready on DB_A. Once DB_A has opened, the old primary follows, also in `upgrade`.
    READY = "ready"
    APPLYING = "applying"
    # At the end: nothing of it stays on either side, and there is no way back any more.
    REMOVED = "removed"


class Hosts(str, Enum):
    """Who says where the database names in a hosts file lead."""

    AS_THEY_WERE = "as they were"
    MANAGED = "managed"


class Tasks(str, Enum):
    """A worker's offline tasks."""

    RUNNING = "running"
    STOPPED = "stopped"


class Verb(str, Enum):
    """What the agent can be asked for; one module each, named alike."""

    INSTALL = "install"
    ACCESS = "access"
    CREDENTIALS = "credentials"
    ANNOUNCE = "announce"
    READY = "ready"
    OFFLINE_TASKS = "offline-tasks"
    HOSTS_FILE = "hosts-file"
    SESSIONS = "sessions"
    CLIENT_GATE = "client-gate"
    UPGRADE_TARGET = "upgrade-target"
    REVERSE_REPLICATION = "reverse-replication"
    REPLICATION = "replication"
    SYNCHRONOUS_REPLICATION = "synchronous-replication"
    NEW_REPLICA = "new-replica"
    UNUSED = "unused"
    RETIREMENT = "retirement"
    FINISH = "finish"
    OBSERVE = "observe"
    PREFLIGHT = "preflight"
    UNINSTALL = "uninstall"
    REHEARSAL_INSTALL = "rehearsal-install"
    REHEARSAL_BEGIN = "rehearsal-begin"
    REHEARSAL_CREDENTIALS = "rehearsal-credentials"
    REHEARSAL_TARGET = "rehearsal-target"
    REHEARSAL_END = "rehearsal-end"


# All that a rehearsal's program can be asked for, and the window's cannot: none of them seals or opens a database, or writes a hosts file.
REHEARSAL_VERBS = (
    Verb.REHEARSAL_INSTALL,
    Verb.REHEARSAL_BEGIN,
    Verb.REHEARSAL_CREDENTIALS,
    Verb.REHEARSAL_TARGET,
    Verb.REHEARSAL_END,
)
# Where a rehearsal can go.
REHEARSAL_MOVES: Dict[Phase, Tuple[Phase, ...]] = {Phase.PREPARE: (Phase.UPGRADE,), Phase.UPGRADE: (Phase.PREPARE,)}
