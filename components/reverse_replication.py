"""ReverseReplication: the old primary follows DB_A, so that the way back after cutover loses nothing."""

from __future__ import annotations

from typing import ClassVar

from agent.states import Verb
from components.part import PartArgs, ServerPart


class ReverseReplicationArgs(PartArgs):
    """`desired`: the stream, the old primary's cluster, and how DB_A is reached."""


class ReverseReplication(ServerPart):
    """Subscribes the old primary to DB_A, and takes the subscriptions away once it takes writes again."""

    verb: ClassVar[Verb] = Verb.REVERSE_REPLICATION
