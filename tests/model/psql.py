"""psql, by recognising what the agent sends.

To extend it: `@TABLE.query("fragment")` for what `Postgres.rows` wraps (rows come back), `@TABLE.statement("fragment")` for all else
(text comes back), in psql_reads or psql_writes. The first fragment that is in the text decides; what none is in is a test's error.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from agent import credentials
from agent.client_rules import LOCAL_ROLE, READER
from agent.server import Completed
from tests.model import psql_reads, psql_writes
from tests.model.cluster import Cluster, DatabaseError, Session
from tests.model.psql_table import Asked

if TYPE_CHECKING:
    from tests.model.machine import Machine
    from tests.model.programs import Call

TABLES = (psql_reads.TABLE, psql_writes.TABLE)
WRAPPED = re.compile(r"SELECT coalesce\(json_agg\(row_to_json\(q\)\), '\[\]'\) FROM \((.*)\) q;", re.DOTALL)


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
    database = call.argv[call.argv.index("-d") + 1]
    knows = _knows(machine, cluster, user, variables.get("PGPASSFILE", ""))
    refused = cluster.admits(user, address, os_user=call.user, database=database, knows=knows)
    if refused is None and user in (READER, LOCAL_ROLE) and f"role {user}" not in cluster.catalog:
        refused = f'FATAL:  role "{user}" does not exist'
    if refused is not None:
        return Completed(2, "", f"psql: error: connection to server failed: {refused}")
    session = Session(cluster.new_pid(), user, address, host.now(), state="active")
    cluster.sessions.append(session)
    writing = "default_transaction_read_only=off" in variables.get("PGOPTIONS", "")
    try:
        return Completed(0, answer(Asked(machine, host, cluster, session, writing), call.stdin) + "\n", "")
    except DatabaseError as error:
        return Completed(3, "", f"ERROR:  {error}")
    finally:
        cluster.close(session)


def _knows(machine: Machine, cluster: Cluster, user: str, passfile: str) -> bool:
    """Whether the password file has this user's password."""
    text = machine.root.joinpath(passfile).read_text() if passfile and machine.root.joinpath(passfile).exists() else ""
    verifier = cluster.catalog.get(f"role {user}", "")
    prefix = f"*:*:*:{user}:"
    return text.startswith(prefix) and _verifies(verifier, text.removeprefix(prefix).rstrip("\n"))


_VERIFIED: dict[tuple[str, str], bool] = {}


def _verifies(verifier: str, password: str) -> bool:
    """As the product does it; 4,096 rounds of hashing at each login would be all that these tests do."""
    if (verifier, password) not in _VERIFIED:
        _VERIFIED[verifier, password] = credentials.verifies(verifier, password)
    return _VERIFIED[verifier, password]


def answer(asked: Asked, sql: str) -> str:
    """Raises DatabaseError, and AssertionError on what no table knows."""
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
