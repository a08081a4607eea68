"""OldReplicaSessions: what clients still hold on an old replica after their names left it."""

from __future__ import annotations

from typing import ClassVar

from agent.states import Verb
from components.part import PartArgs, ServerPart


class OldReplicaSessionsArgs(PartArgs):
    """`desired`: group and addresses of the clients, and the names that lead them here now."""


class OldReplicaSessions(ServerPart):
    """Ends the idle sessions of clients whose names left, so that pools connect anew by name."""

    verb: ClassVar[Verb] = Verb.SESSIONS


class OldReplicaAccessArgs(PartArgs):
    """`desired`: the cluster; nobody else reads from an old replica."""


class OldReplicaAccess(ServerPart):
    """pgleap's own local way into an old replica."""

    verb: ClassVar[Verb] = Verb.ACCESS
