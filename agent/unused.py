"""Verb `unused`: nobody uses this old database server any more. It only looks; what is found is named, and nothing stops."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from agent import access, journal
from agent.client_sessions import CLIENTS
from agent.cluster import from_desired
from agent.journal import Authority
from agent.postgres import Postgres
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import Phase

# A client that connects per request is there for a moment only.
POLL_SECONDS = 0.05


def unused(desired: Mapping[str, Any], server: Server) -> Facts:
    """Look for `watchSeconds` whether anybody is or comes in. Raises Refusal that names who."""
    postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
    if not postgres.is_running():
        return {"changed": [], "because": "its PostgreSQL is stopped"}
    own = journal.read(server)
    if own is not None and own.authority is Authority.RELEASED and postgres.answers() is not None:
        access.refuse_taken_out(postgres, Phase.REPLICAS)  # it comes before whatever brings the rules back
    refuse_clients(postgres, float(desired["watchSeconds"]))
    return {"changed": [], "because": f"nobody was or came in within {desired['watchSeconds']} s"}


def refuse_clients(postgres: Postgres, seconds: float) -> None:
    """Raises Refusal if a client session is there, or comes within `seconds`."""
    server, who = postgres.server, _who(postgres)
    deadline = server.monotonic() + seconds
    while not who and server.monotonic() < deadline:
        server.sleep(POLL_SECONDS)
        who = _who(postgres)
    if who:
        raise Refusal(
            "nobody connected to an old database server any more",
            "; ".join(who),
            "have these find their database by a name of the stack, or stop them; then run `pulumi up` again",
        )


def _who(postgres: Postgres) -> List[str]:
    rows: List[Dict[str, Any]] = postgres.rows(
        "SELECT coalesce(usename, '?') AS role, coalesce(datname, '?') AS database,"
        " coalesce(host(client_addr), 'this server itself') AS client, coalesce(nullif(application_name, ''), 'no name') AS name,"
        f" count(*) AS sessions FROM pg_stat_activity WHERE {CLIENTS} GROUP BY 1, 2, 3, 4 ORDER BY 3, 1 LIMIT 20"
    )
    return [
        f"{row['sessions']} from {row['client']} as {row['role']} in {row['database']} ({row['name']})" for row in rows
    ]
