"""The frame of every move: announced to the journals first, ready, and finished in the journals last."""

from __future__ import annotations

from typing import ClassVar

from agent.states import Verb
from components.part import PartArgs, ServerPart


class AnnouncementArgs(PartArgs):
    """`desired`: phase and side."""


class Announcement(ServerPart):
    """Writes phase and round into a database server's journal; refuses what is no move from there."""

    verb: ClassVar[Verb] = Verb.ANNOUNCE


class ReadinessArgs(PartArgs):
    """`desired`: phase, side, and what must hold before writes are refused."""


class Readiness(ServerPart):
    """Refuses to go on over what would hurt while writes are refused."""

    verb: ClassVar[Verb] = Verb.READY


class FinishArgs(PartArgs):
    """`desired`: phase and side."""


class Finish(ServerPart):
    """Verifies who holds the authority and marks the phase finished in the journal."""

    verb: ClassVar[Verb] = Verb.FINISH


class CredentialsArgs(PartArgs):
    """`desired`: the password of the role pgleap, and whether this server owns the role. Secret as a whole."""


class Credentials(ServerPart):
    """pgleap's role. A step of its own, so that the secret does not hide a whole desired state from the preview."""

    verb: ClassVar[Verb] = Verb.CREDENTIALS
    secret: ClassVar[bool] = True
