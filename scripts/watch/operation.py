"""One probe as it is kept: a line of JSON with the keys that a rehearsal's clients write, so that one report takes both.

start, end (seconds since the epoch), kind (read, write), client (connect, testing-pool), name, database, ok, sqlstate and error (null
if ok), address and version of the server that answered (null if none did), and for a write its outcome: acknowledged (COMMIT returned),
failed (an error before it was sent, or the server's refusal of it), unknown (the connection was lost during COMMIT). `id` is always null:
what a write left is the operator's own, and no ledger has it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

Kind = Literal["read", "write"]
Client = Literal["connect", "testing-pool"]
Outcome = Literal["acknowledged", "failed", "unknown"]
# Of the server's words as much as a line needs.
LETTERS = 300


@dataclass(frozen=True)
class Operation:
    """One probe. `takes_writes`: whether the server that answered is no replica, None if none answered; it stands in no line."""

    kind: Kind
    client: Client
    name: str
    database: str
    start: float
    end: float
    ok: bool
    sqlstate: str | None = None
    error: str | None = None
    address: str | None = None
    version: int | None = None
    outcome: Outcome | None = None
    takes_writes: bool | None = None

    def line(self) -> str:
        """As it is kept, without a line's end."""
        kept = {key: value for key, value in asdict(self).items() if key != "takes_writes"}
        return json.dumps({**kept, "id": None})

    @property
    def seconds(self) -> float:
        return self.end - self.start
