"""Whether a server was retired: every verb asks that first, so it loads nothing of how it is done."""

from __future__ import annotations

from agent.server import STATE_FOLDER, Server
from agent.states import Verb

# Says that PostgreSQL was stopped here for good: what other verbs would ask it for is over.
FILE = f"{STATE_FOLDER}/retired.json"
OVER = (Verb.ACCESS, Verb.SESSIONS, Verb.CREDENTIALS, Verb.CLIENT_GATE, Verb.REVERSE_REPLICATION)


def is_over(verb: Verb, server: Server) -> bool:
    """Whether a verb has nothing to ask of this server any more: a raised round runs every step again."""
    return verb in OVER and bool(server.read_json(FILE))
