"""Verb `sessions`: after names left a database, the sessions their servers still hold there are ended.

/etc/hosts moves new connections only: a pool's `SELECT 1` goes on succeeding on the replica it is still connected to, while
every write through it fails. Only idle sessions are ended; one at work finishes its statement first.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

from agent.client_sessions import CLIENTS, ENDED_IF_IDLE, FOLLOWING
from agent.cluster import from_desired
from agent.postgres import Postgres
from agent.report import Facts, progress
from agent.server import STATE_FOLDER, Server

POLL_SECONDS = 0.05


def sessions(desired: Mapping[str, Any], server: Server) -> Facts:
    """End the idle sessions of `clients` (addresses) if names of `namesHere` left this database since the last run.

    Waits `graceSeconds` for sessions at work; those still there then are reported, not ended: they only read.
    """
    memory = f"{STATE_FOLDER}/sessions-{desired['group']}.json"
    here = sorted(desired["namesHere"])
    before = server.read_json(memory).get("namesHere", here)
    left = sorted(set(before) - set(here))
    facts: Facts = {"changed": [], "because": "no name left this database"}
    if left:
        postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
        ended, staying = _end_idle(
            postgres, [str(address) for address in desired["clients"]], float(desired["graceSeconds"])
        )
        facts = {
            "changed": [f"ended {ended} idle sessions"] if ended else [],
            "because": f"{', '.join(left)} left this database",
            "still at work": staying,
        }
    server.write_json(memory, {"namesHere": here})
    return facts


def _end_idle(postgres: Postgres, addresses: List[str], grace: float) -> Tuple[int, Dict[str, int]]:
    """How many sessions were ended, and how many stay by client address."""
    if not addresses:
        return 0, {}
    literal = ", ".join(f"'{address}'::inet" for address in addresses)
    server = postgres.server
    # The names have moved by now: who comes from here on comes because another name still leads here, and is right to.
    moved = server.now()
    ended: Set[int] = set()
    quiet: Optional[float] = None
    deadline = server.monotonic() + grace
    while True:
        rows = postgres.rows(
            f"SELECT pid, host(client_addr) AS client, {ENDED_IF_IDLE} AS ended"
            f" FROM pg_stat_activity AS session WHERE {CLIENTS} AND NOT {FOLLOWING} AND client_addr IN ({literal}) AND backend_start <= to_timestamp({moved!r})"
        )
        ended.update(row["pid"] for row in rows if row["ended"])
        now = server.monotonic()
        if not rows:
            # A connection being let in right now shows only once it is in: the silence has to last for a moment.
            quiet = quiet if quiet is not None else now
            if now - quiet >= 2 * POLL_SECONDS:
                return len(ended), {}
        else:
            quiet = None
        if now > deadline:
            staying: Dict[str, int] = {}
            for row in rows:
                if not row["ended"]:
                    staying[row["client"]] = staying.get(row["client"], 0) + 1
            progress(f"{sum(staying.values())} sessions are still at work after {grace:g} s; they were left")
            return len(ended), staying
        server.sleep(POLL_SECONDS)
