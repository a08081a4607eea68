"""A rehearsal on the real thing: where what it keeps lies, and what it and a window have to know of each other.

It is another program (see __main__), with verbs, a folder, a role and a slot of its own. Nothing that it does reaches a file of the
window's but through `window`, which only reads.
"""

from __future__ import annotations

from agent import journal, places
from agent.client_rules import REHEARSAL
from agent.report import Refusal
from agent.server import STATE_FOLDER, Server

FOLDER = places.FOLDER_OF_REHEARSAL
INSTALLED = places.INSTALLED_FOR_REHEARSAL
DELIVERED = ".pgleap-rehearsal-*.pyz"
# Ends a slot that keeps too much.
GUARD_UNIT = "pgleap-rehearsal-guard.service"
SLOT_ROW = f"FROM pg_replication_slots WHERE slot_name = '{REHEARSAL}'"


def window(server: Server) -> Server:
    """The same machine as a window's program sees it."""
    return server.keeping_in(STATE_FOLDER)


def refuse_beside_window(server: Server) -> None:
    """DB_A of a window is no place for a rehearsal. Raises Refusal."""
    own = journal.read(window(server))
    if own is not None:
        raise Refusal(
            "a server that no window uses, to be DB_A of the rehearsal",
            f"the journal of a window: {own.phase} in round {own.round}",
            "give the rehearsal another address, pulumi config set --path 'servers.<the target>.address', or take pgleap away from"
            " this one first, python -m scripts.uninstall in the window's stack",
        )


def refuse_beside_rehearsal(server: Server, what: str) -> None:
    """A rehearsal that stands is taken away before this server is used for a window. Raises Refusal."""
    own = journal.read(server.keeping_in(FOLDER))
    if own is not None:
        raise Refusal(
            f"no rehearsal on {what}",
            f"one stands there: {own.phase} in round {own.round}",
            "pulumi destroy --stack <the rehearsal's>, then run `pulumi up` again",
        )
