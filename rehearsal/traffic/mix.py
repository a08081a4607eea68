"""How much traffic each server that uses the databases makes."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("connect", "testing-pool", "plain-pool")
"""The kinds of client on each web server."""
# A pool writes to two databases under one name, and reads one database under all names; two connections each (client.POOL_SIZE).
POOL_FOR_WRITES = 4
POOL_A_NAME = 2
# Without a pool: one for the read under way, one for the write.
NO_POOL = 2
# A worker's pool writes to two databases at most.
WORKER = 4


@dataclass(frozen=True)
class Mix:
    """On each web server `reads` and `writes` a second, by `clients` clients, dealt to the kinds in turn (so three are the fewest); on each
    worker the same `writes`, by one client. Where `databases` are named, only these are written to. `documents` of a hundred orders are kept
    with a large object, which no way back from cutover brings along: a fleet that writes them has none that is strict."""

    reads: float
    writes: float
    clients: int = len(KINDS)
    databases: tuple[str, ...] = ()
    documents: int = 0

    def clients_of(self, kind: str) -> int:
        """How many clients of a kind there are on a server."""
        each, left = divmod(self.clients, len(KINDS))
        return each + (KINDS.index(kind) < left)

    def arguments(self) -> dict[str, str]:
        """What client.py is told besides, by kind: how many clients, and how often each has a request, in milliseconds."""
        pace = (
            f" --reads-every {1000 * self.clients / self.reads:g} --writes-every {1000 * self.clients / self.writes:g}"
        )
        written = f" --databases {' '.join(self.databases)}" if self.databases else ""
        kept = self.with_documents()
        return {kind: f" --clients {self.clients_of(kind)}{pace}{written}{kept}" for kind in KINDS}

    def with_documents(self) -> str:
        """What client.py is told of large objects."""
        return f" --documents {self.documents}" if self.documents else ""

    def connections(self, web_servers: int, workers: int, names: int) -> int:
        """How many connections one database gets from them while every name leads to it, at most. Pure."""
        unpooled = self.clients_of("connect")
        pooled = self.clients - unpooled
        each = unpooled * NO_POOL + pooled * (POOL_FOR_WRITES + POOL_A_NAME * names)
        return web_servers * each + workers * WORKER
