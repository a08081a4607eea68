"""psql, by recognising what the agent sends.

To extend it: `@TABLE.query("fragment")` for what `Postgres.rows` wraps (rows come back), `@TABLE.statement("fragment")` for all else
(text comes back), in psql_reads, psql_writes or psql_replicas. The first fragment that is in the text decides; what none is in is a test's error.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from agent.client_rules import LOCAL_ROLE, READER, REHEARSAL
from agent.credentials import password_of
from agent.server import Completed
from tests.model import passwords, psql_reads, psql_rehearsal, psql_replicas, psql_writes
from tests.model.cluster import DatabaseError, Session
from tests.model.psql_table import Asked

if TYPE_CHECKING:
    from tests.model.machine import Machine
    from tests.model.programs import Call

TABLES = (psql_rehearsal.TABLE, psql_replicas.TABLE, psql_reads.TABLE, psql_writes.TABLE)
WRAPPER = r"SELECT coalesce\(json_agg\(row_to_json\(q\)\), '\[\]'\) FROM \("
WRAPPED = re.compile(WRAPPER + r"(.*)\) q;", re.DOTALL)


def psql(machine: Machine, call: Call) -> Completed:
    """Connect as libpq would, run what stands on standard input, disconnect."""
    variables = call.environment
    place, user = variables["PGHOST"], variables["PGUSER"]
    over_socket = place.startswith("/")
    host = machine if over_socket else machine.world.at(place)
    cluster = host.listening(variables["PGPORT"]) if host is not None else None
    if host is None or cluster is None:
        return Completed(2, "", "psql: error: could not connect to server: Connection refused")
    address = None if over_socket else machine.address
    database = variables["PGDATABASE"]
    knows = passwords.knows(cluster, user, password_in(machine, user, variables.get("PGPASSFILE", "")))
    refused = cluster.admits(user, address, os_user=call.user, database=database, knows=knows)
    if refused is None and user in (READER, LOCAL_ROLE, REHEARSAL) and f"role {user}" not in cluster.catalog:
        refused = f'FATAL:  role "{user}" does not exist'
    if refused is not None:
        return Completed(2, "", f"psql: error: connection to server failed: {refused}")
    # Root over the socket is pgleap, as whomever it comes; in a rehearsal, as the superuser.
    kind = "pgleap's own" if over_socket and call.user == "root" else "client backend"
    session = Session(cluster.new_pid(), user, address, host.now(), kind, state="active")
    cluster.sessions.append(session)
    writing = "default_transaction_read_only=off" in variables.get("PGOPTIONS", "")
    try:
        return Completed(0, answer(Asked(machine, host, cluster, session, writing), call.stdin) + "\n", "")
    except DatabaseError as error:
        return Completed(3, "", f"ERROR:  {error}")
    finally:
        cluster.close(session)


def password_in(machine: Machine, user: str, passfile: str) -> str | None:
    """What a server's password file has for a user, None if nothing."""
    path = machine.root / passfile
    return password_of(user, path.read_text()) if passfile and path.exists() else None


def answer(asked: Asked, sql: str) -> str:
    """Raises DatabaseError, and AssertionError on what no table knows. Queries that rows come back from each stand for themselves."""
    texts = [_answer_to_one(asked, part) for part in re.split(f"\n(?={WRAPPER})", sql)]
    return "\n".join(text for text in texts if text)


def _answer_to_one(asked: Asked, sql: str) -> str:
    wrapped = WRAPPED.fullmatch(sql.strip())
    for table in TABLES:
        if wrapped is not None:
            for fragment, rows in table.queries:
                if fragment in wrapped[1]:
                    return json.dumps(rows(asked, wrapped[1]))
        else:
            for fragment, text in table.statements:
                if fragment in sql:
                    return text(asked, sql)
    raise AssertionError(f"the model's psql does not know: {sql}")
