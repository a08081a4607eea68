"""Verb `rehearsal-credentials`: the rehearsal's role on the old primary, and its password on DB_A.

The role may stream, and call two functions in the database postgres, which show settings and rules; pg_hba admits it from DB_A's
address and from nowhere else. A base backup holds all there is, as every standby does.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, List, Mapping

from agent import access, client_rules, credentials, functions, rehearsal, short_locks
from agent.client_rules import REHEARSAL
from agent.cluster import from_desired
from agent.postgres import Postgres
from agent.report import Facts
from agent.server import STATE_FOLDER, Server

# Seconds for a step of the window's on the old primary to end: it writes the same file.
PATIENCE = 120


def rehearsal_credentials(desired: Mapping[str, Any], server: Server) -> Facts:
    """Have the role, its functions and its rules on the old primary, `reader` being DB_A's address; its password on DB_A."""
    if desired["side"] == "DB_A":
        changed = credentials.keep_passwords(server, {REHEARSAL: desired["password"]})
    else:
        postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"]).as_superuser()
        changed = _have_role(postgres, desired["password"])
        changed += write_rules(postgres, desired["reader"])
    return {"changed": changed, "because": "the rehearsal streams as a role of its own"}


def _have_role(postgres: Postgres, password: str) -> List[str]:
    statements = credentials.role_statements(postgres, REHEARSAL, password)
    for what, sql in statements.items():
        short_locks.execute(postgres, sql, what=what)
    if functions.are_there_for_rehearsal(postgres):
        return list(statements)
    functions.make_for_rehearsal(postgres)
    return [*statements, f"made the functions of the schema {REHEARSAL}"]


def write_rules(postgres: Postgres, reader: str) -> List[str]:
    """Have the rehearsal's block in pg_hba.conf, or none without a `reader`. What was done. Raises Refusal."""
    server, file = postgres.server, postgres.cluster.hba_file
    window = rehearsal.window(server)
    with ExitStack() as alone:
        if window.path(STATE_FOLDER).exists():
            alone.enter_context(window.only_one("agent", PATIENCE))
        text = server.path(file).read_bytes().decode(errors="surrogateescape")
        wanted = client_rules.with_rehearsal(text, reader) if reader else client_rules.without_rehearsal(text)
        if wanted == text:
            return []
        access.put(server, file, wanted)
    postgres.reload()
    return [f"{'let the rehearsal in in' if reader else 'took the rehearsal out of'} {file}"]
