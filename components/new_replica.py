"""NewReplica: a replica of DB_A on the new version, and DB_A's side of it."""

from __future__ import annotations

from typing import ClassVar

from agent.states import Verb
from components.part import PartArgs, ServerPart


class NewReplicaArgs(PartArgs):
    """`desired`: the new cluster, DB_A, the role it streams as, limits in seconds and bytes."""


class NewReplica(ServerPart):
    """Made from DB_A in `replicas`; it stays."""

    verb: ClassVar[Verb] = Verb.NEW_REPLICA


class NewReplicaSessionsArgs(PartArgs):
    """`desired`: group and addresses of the clients, and the names that lead them here now."""


class NewReplicaSessions(ServerPart):
    """Ends the idle sessions of clients whose names left: after a way back nothing reaches a new replica any more."""

    verb: ClassVar[Verb] = Verb.SESSIONS


class ReplicationArgs(PartArgs):
    """`desired`: standbys (name -> address), the role they stream as, and whether the stream back is kept."""


class Replication(ServerPart):
    """Lets the new replicas stream from DB_A; at the end takes away what the stream back needed there."""

    verb: ClassVar[Verb] = Verb.REPLICATION


class SynchronousReplicationArgs(PartArgs):
    """`desired`: names, a value of synchronous_standby_names, empty for none."""


class SynchronousReplication(ServerPart):
    """Whom DB_A's commits wait for, once they stream."""

    verb: ClassVar[Verb] = Verb.SYNCHRONOUS_REPLICATION
