"""One psql, many questions: a session for each of them would take longer than all the answers."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Tuple

from agent.postgres import TEXT, as_json
from agent.report import Refusal
from agent.server import Server
from agent.session_settings import onlookers, options

# Beside those of every session: it reads, waits for nobody's lock, and ends soon, whatever is asked. Extensions' own views are in public.
SETTINGS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "5s",
    "lock_timeout": "500ms",
    "search_path": "pg_catalog,public",
    "client_min_messages": "error",
}
MARK = "pgleap-answer-ends"


class Session:
    """A psql that stays, a superuser's at a server of this `version`. `login` is the operating system's user (None for this one) and how psql
    finds its way in."""

    def __init__(self, server: Server, psql: str, version: int, login: Tuple[Optional[str], Dict[str, str]]) -> None:
        user, environment = login
        more = {
            **TEXT,
            "PGAPPNAME": "pgleap",
            "PGOPTIONS": options({**onlookers(version), **SETTINGS}),
            "PGCONNECT_TIMEOUT": "5",
        }
        self._process = server.converse(psql, "-XAtq", user=user, environment={**environment, **more})

    def rows(self, query: str) -> List[Dict[str, Any]]:
        """The rows of a query. Raises Refusal with PostgreSQL's message."""
        asked = f"{as_json(query)}\n\\echo {MARK} :ERROR\n"
        lines: List[str] = []
        try:
            self._process.stdin.write(asked.encode())  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            pass  # what it said before it ended is read below
        for line in iter(self._process.stdout.readline, b""):  # type: ignore[union-attr]
            text = line.decode(errors="replace").rstrip("\n")
            if text.startswith(MARK):
                if text.endswith("true"):
                    break
                # A database whose collation changed says so whenever it is entered, before the options above count.
                while lines and not lines[0].startswith("["):
                    del lines[0]
                found: List[Dict[str, Any]] = json.loads("\n".join(lines))
                return found
            lines.append(text)
        raise Refusal("PostgreSQL to answer", " ".join(lines).strip() or "psql ended without a word", "see its log")

    def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.stdout.close()  # type: ignore[union-attr]
        self._process.wait()
