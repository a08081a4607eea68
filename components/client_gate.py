"""ClientGate: who gets into a database server, and with it who may write."""

from __future__ import annotations

from typing import ClassVar

from agent.states import Verb
from components.part import PartArgs, ServerPart


class ClientGateArgs(PartArgs):
    """`desired`: gate, side (old primary or DB_A), its cluster and how the other side is reached."""


class ClientGate(ServerPart):
    """Seals, fences, releases and opens one of the two databases that can hold the write authority."""

    verb: ClassVar[Verb] = Verb.CLIENT_GATE
