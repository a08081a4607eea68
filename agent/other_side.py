"""Talking to another database server over the network, as pgleap's own role: read live, right before an act."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Optional

from agent import session_settings
from agent.client_rules import READER
from agent.postgres import HOLDING_AN_ID, PASSWORD_FILE, TEXT
from agent.report import Refusal
from agent.server import Completed, Server

# What it is asked is read from catalogs and small files; a server that is mute must not hold a move up for longer.
ANSWER_SECONDS = 30.0


class OtherSide:
    """Another database server, as pgleap's own role sees it: its journal and positions, live. A `lost` one is not asked.

    What it shows is in the schema of the role's own name.
    """

    def __init__(
        self, server: Server, name: str, address: str, port: int, psql: str, lost: bool = False, role: str = READER
    ) -> None:
        self.server = server
        self.name = name
        self.address = address
        self.port = port
        self.psql = psql
        self.lost = lost
        self.role = role

    @classmethod
    def from_desired(cls, peer: Mapping[str, Any], server: Server, psql: str, role: str = READER) -> OtherSide:
        """As a desired state names it: server, address, port, and `lost` if it is."""
        return cls(server, peer["server"], peer["address"], int(peer["port"]), psql, peer.get("lost", False), role)

    def _ask(
        self, sql: str, user: str, database: str = "postgres", seconds: Optional[float] = ANSWER_SECONDS
    ) -> Completed:
        return self.server.run(
            self.psql, "-XAtqw", "-v", "ON_ERROR_STOP=1", stdin=sql, check=False, timeout=seconds,
            environment={
                "PGHOST": self.address,
                "PGPORT": str(self.port),
                "PGUSER": user,
                "PGDATABASE": database,
                **TEXT,
                "PGPASSFILE": str(self.server.path(PASSWORD_FILE)),
                "PGAPPNAME": "pgleap",
                "PGOPTIONS": session_settings.options(session_settings.OF_ALL),
                "PGCONNECT_TIMEOUT": "5",
            },
        )  # fmt: skip

    def ask(self, sql: str, database: str = "postgres", seconds: Optional[float] = ANSWER_SECONDS) -> str:
        """What it answers, within `seconds` (None: however long it takes). Raises Refusal if it cannot be reached."""
        code, text, error = self._ask(sql, self.role, database, seconds)
        if code != 0:
            raise Refusal(
                f"{self.name} ({self.address}:{self.port}) to answer the role {self.role}",
                error.strip(),
                f"see that {self.name} runs and can be reached from here",
            )
        return text.strip()

    def refuse_if_it_answers(self, if_it_lives: str) -> None:
        """A database that is called lost and still runs could go on taking writes beside the one that opens for it. `if_it_lives`: the
        command that follows once it is called lost no more."""
        if self.server.connects(self.address, self.port):
            raise Refusal(
                f"{self.name}, which the stack calls lost, to answer nobody at {self.address}:{self.port}",
                "something accepts connections there",
                f"if {self.name} lives: pulumi config rm --path servers.{self.name}.lost && {if_it_lives}; or, if it is to be given up,"
                " power it off for good, then run `pulumi up` again",
            )

    def read_json(self, sql: str, database: str = "postgres", seconds: Optional[float] = ANSWER_SECONDS) -> Any:
        """What it answers, a JSON text, read. Raises Refusal."""
        return json.loads(self.ask(sql, database, seconds))

    def journal(self) -> Dict[str, Any]:
        found: Dict[str, Any] = self.read_json("SELECT pgleap.journal();")
        return found

    def next_xid(self) -> int:
        """Its next transaction id, as `seal.next_xid` sees it: those that hold an id and go on are counted, and first."""
        text = self.ask(f"SELECT {HOLDING_AN_ID}; SELECT pg_snapshot_xmax(pg_current_snapshot());")
        return sum(int(line) for line in text.splitlines())

    def refuses_clients(self, superuser: str) -> Optional[str]:
        """None if its rules refuse a client that comes as the superuser from here; else what happened instead."""
        code, _, error = self._ask("SELECT 1;", superuser)
        # The message may be in the server's own language; the file's name is in it all the same.
        if code != 0 and "pg_hba.conf" in error:
            return None
        return "the connection was let in" if code == 0 else error.strip()
