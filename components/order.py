"""What waits for what, by the phase that is gone to; design.md's "Order" in code. Pure.

A phase's order is a sequence of stages: the parts of one stage run side by side, and each stage waits for the one before it.
A part without steps (a fleet without workers, say) hands on what it waited for. Between two stages with a step for each of many
servers stands one that belongs to a database server: otherwise there would be an edge for every pair.
"""

from __future__ import annotations

from enum import StrEnum

from agent.states import Phase


class Part(StrEnum):
    """What the fleet consists of, as far as order goes."""

    ANNOUNCE_OLD_PRIMARY = "announce to the old primary"
    ANNOUNCE_TARGET = "announce to DB_A"
    CREDENTIALS = "credentials"
    READY = "ready"
    TASKS = "offline tasks"
    LOAD_BALANCER = "load balancer"
    ONLINE_HOSTS = "hosts files of online servers"
    ONLINE_SESSIONS = "sessions of online servers on old replicas"
    OTHER_HOSTS = "hosts files of the other servers"
    OTHER_SESSIONS = "sessions of the other servers on old replicas"
    OLD_PRIMARY_GATE = "the old primary's client gate"
    TARGET_GATE = "DB_A's client gate"
    TARGET_DATABASE = "DB_A's database"
    REVERSE_REPLICATION = "the stream back to the old primary"
    REPLICATION = "who streams from DB_A"
    SYNCHRONOUS_REPLICATION = "whom DB_A's commits wait for"
    NEW_REPLICAS = "the new replicas"
    NEW_REPLICA_SESSIONS = "sessions on the new replicas"
    UNUSED = "nobody on the old database servers"
    RETIREMENT = "the old database servers"
    OLD_INSTANCES = "the old database servers' instances"
    FINISH = "finish"


# Parts that are not there from the first phase on. Before theirs nothing is asked of the servers that they are about: a new replica
# need not even exist, and on the way back it is left as it is, with no name that leads to it.
BEGIN_WITH: dict[Part, Phase] = {
    Part.REPLICATION: Phase.REPLICAS,
    Part.NEW_REPLICAS: Phase.REPLICAS,
    # These two undo something when names leave the new replicas again: further back, what a pool read there would be old, and
    # commits would wait for a replica that is taken away.
    Part.NEW_REPLICA_SESSIONS: Phase.CUTOVER,
    Part.SYNCHRONOUS_REPLICATION: Phase.CUTOVER,
    Part.UNUSED: Phase.RETIRE,
    Part.RETIREMENT: Phase.RETIRE,
    Part.OLD_INSTANCES: Phase.RETIRE,
}

Stages = tuple[tuple[Part, ...], ...]

ORDER: dict[Phase, Stages] = {
    # Writes first, everything slow last; DB_A need not even be reachable until then.
    Phase.PREPARE: (
        (Part.ANNOUNCE_OLD_PRIMARY,),
        (Part.OLD_PRIMARY_GATE,),
        (Part.ONLINE_HOSTS,),
        (Part.ONLINE_SESSIONS,),
        (Part.OTHER_HOSTS,),
        (Part.OTHER_SESSIONS,),
        (Part.LOAD_BALANCER, Part.TASKS),
        (Part.REVERSE_REPLICATION,),
        (Part.ANNOUNCE_TARGET,),
        (Part.CREDENTIALS,),
        (Part.TARGET_DATABASE,),
        (Part.TARGET_GATE,),
        (Part.READY,),
        (Part.FINISH,),
    ),
    # The hosts files lead to DB_B before the old primary refuses anybody.
    Phase.READONLY: (
        # First of all: what it refuses leaves the fleet in a finished prepare, with nothing to go back from.
        (Part.READY,),
        (Part.ANNOUNCE_TARGET,),
        (Part.ANNOUNCE_OLD_PRIMARY,),
        (Part.CREDENTIALS,),
        (Part.TARGET_DATABASE, Part.REVERSE_REPLICATION),
        # The other servers' stay as they were, so these hosts files can come before any that refuses writes.
        (Part.TASKS, Part.LOAD_BALANCER, Part.OTHER_HOSTS),
        (Part.TARGET_GATE,),
        # Sessions on replicas stay while writes are refused (desired.py): DB_B takes note of the names that come, and that goes before them.
        (Part.ONLINE_SESSIONS, Part.OTHER_SESSIONS),
        (Part.ONLINE_HOSTS,),
        (Part.OLD_PRIMARY_GATE,),
        (Part.FINISH,),
    ),
    # On the way back from cutover writes are refused from the online servers' hosts files on: what can come before them does. (Names
    # leave DB_A then, whose own seal ends its sessions, and no replica.) DB_A's gate before the old primary's: it renounces before
    # the old primary takes the authority back.
    Phase.UPGRADE: (
        (Part.ANNOUNCE_TARGET,),
        (Part.ANNOUNCE_OLD_PRIMARY,),
        # Before ready looks how far it is: a cutover that did not come so far has not begun it, and one that stopped is tried again.
        (Part.REVERSE_REPLICATION,),
        (Part.READY,),
        (Part.TASKS, Part.LOAD_BALANCER),
        (Part.CREDENTIALS,),
        (Part.OTHER_HOSTS,),
        (Part.OTHER_SESSIONS,),
        (Part.ONLINE_SESSIONS,),
        (Part.ONLINE_HOSTS,),
        (Part.TARGET_GATE,),
        (Part.OLD_PRIMARY_GATE,),
        (Part.TARGET_DATABASE,),
        (Part.FINISH,),
    ),
    # DB_A is upgraded if it is not, the old primary releases, DB_A opens, then the hosts files: writes resume server by server. Ready has
    # nothing to wait for, and comes with what can wait: on the way from readonly writes are refused. (Both announcements at once would save
    # a quarter of a second; with --target pulumi 3.250 then writes a state in which an agent comes before its own file.)
    Phase.CUTOVER: (
        (Part.ANNOUNCE_TARGET,),
        (Part.ANNOUNCE_OLD_PRIMARY,),
        (Part.CREDENTIALS,),
        (Part.TARGET_DATABASE,),
        (Part.OLD_PRIMARY_GATE,),
        (Part.TARGET_GATE,),
        (Part.ONLINE_HOSTS,),
        (Part.ONLINE_SESSIONS,),
        (Part.OTHER_HOSTS, Part.REVERSE_REPLICATION),
        (Part.OTHER_SESSIONS,),
        (Part.LOAD_BALANCER, Part.TASKS),
        # Last: what nothing needs yet must not keep writes waiting if it cannot be reached.
        (Part.READY, Part.SYNCHRONOUS_REPLICATION, Part.NEW_REPLICA_SESSIONS),
        (Part.FINISH,),
    ),
    # A name leads to a new replica only once it streams.
    Phase.REPLICAS: (
        (Part.ANNOUNCE_TARGET,),
        (Part.ANNOUNCE_OLD_PRIMARY,),
        (Part.CREDENTIALS,),
        (Part.READY,),
        (Part.TARGET_DATABASE,),
        (Part.OLD_PRIMARY_GATE,),
        (Part.TARGET_GATE,),
        (Part.REPLICATION, Part.REVERSE_REPLICATION),
        (Part.NEW_REPLICAS,),
        (Part.SYNCHRONOUS_REPLICATION,),
        (Part.ONLINE_HOSTS,),
        (Part.ONLINE_SESSIONS,),
        (Part.OTHER_HOSTS,),
        (Part.OTHER_SESSIONS, Part.NEW_REPLICA_SESSIONS),
        (Part.LOAD_BALANCER, Part.TASKS),
        (Part.FINISH,),
    ),
    # Nothing stops, and the way back stays open, before every old server was seen to be without clients.
    Phase.RETIRE: (
        (Part.UNUSED,),
        (Part.ANNOUNCE_TARGET,),
        (Part.ANNOUNCE_OLD_PRIMARY,),
        (Part.CREDENTIALS,),
        (Part.READY,),
        (Part.TARGET_DATABASE,),
        (Part.OLD_PRIMARY_GATE,),
        (Part.TARGET_GATE,),
        (Part.NEW_REPLICAS,),
        (Part.ONLINE_HOSTS,),
        (Part.ONLINE_SESSIONS,),
        (Part.OTHER_HOSTS,),
        (Part.OTHER_SESSIONS, Part.NEW_REPLICA_SESSIONS),
        (Part.LOAD_BALANCER, Part.TASKS),
        (Part.REVERSE_REPLICATION,),
        (Part.REPLICATION,),
        (Part.SYNCHRONOUS_REPLICATION,),
        (Part.RETIREMENT,),
        # The journals are marked first: one of them goes with its instance.
        (Part.FINISH,),
        (Part.OLD_INSTANCES,),
    ),
}
