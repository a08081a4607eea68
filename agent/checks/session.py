"""One psql, many questions: a session for each of them would take longer than all the answers."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
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
# A login may take five, a statement five: what takes longer is a server that stopped answering.
PATIENCE = 8.0


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
        # Why it answers nothing any more; "" while it does.
        self.ended = ""
        self._unread = bytearray()
        self._process = server.converse(psql, "-wXAtq", user=user, environment={**environment, **more})

    def rows(self, query: str) -> List[Dict[str, Any]]:
        """The rows of a query. Raises Refusal with PostgreSQL's message; once the session has ended, with what ended it."""
        if self.ended:
            raise Refusal("PostgreSQL to answer", self.ended, "see its log")
        asked = f"{as_json(query)}\n\\echo {MARK} :ERROR\n"
        lines: List[str] = []
        with contextlib.suppress(BrokenPipeError):  # what it said before it ended is read below
            self._process.stdin.write(asked.encode())  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        until = time.monotonic() + PATIENCE
        while True:
            line = self._line(until)
            if line is None:
                self.ended = " ".join(lines).strip() or "psql ended without a word"
                break
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
        raise Refusal("PostgreSQL to answer", " ".join(lines).strip() or self.ended, "see its log")

    def _line(self, until: float) -> Optional[bytes]:
        """The next line that psql says; None once it has ended. Raises Refusal if none comes in time: the session is over then."""
        pipe = self._process.stdout.fileno()  # type: ignore[union-attr]
        while True:
            end = self._unread.find(b"\n")
            if end >= 0:
                line = bytes(self._unread[: end + 1])
                del self._unread[: end + 1]
                return line
            ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                self.ended = f"no answer within {PATIENCE:g} s"
                self._process.kill()
                raise Refusal("PostgreSQL to answer", self.ended, "see its log")
            piece = os.read(pipe, 65536)
            if not piece:
                rest = bytes(self._unread)
                self._unread.clear()
                return rest or None
            self._unread += piece

    def close(self) -> None:
        """Whatever became of it: what it was not told any more is not missed."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        with contextlib.suppress(OSError):
            self._process.stdout.close()  # type: ignore[union-attr]
        try:
            self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
