"""Sealing a database: no client gets in or stays, whatever it would set in its session; and what a sealed database proves.

In this order (design.md, "PostgreSQL, what to hold to"): the read-only setting gives those inside a clear error, pgleap's rules
refuse clients, reload; idle sessions are ended at once, those in a transaction after the grace period, until none is
left; autovacuum is off and its workers ended, for they take transaction ids; a connection from outside is refused.
"""

from __future__ import annotations

import re
from typing import List, Optional, Sequence, Set

from agent import consumers, journal, positions, seal_settings
from agent.access import seal_holds, write_rules
from agent.client_sessions import ENDED_IF_IDLE, FOLLOWING, INSIDE, WORKERS
from agent.journal import Authority, Fence
from agent.other_side import OtherSide
from agent.postgres import HOLDING_AN_ID, Postgres, wait_until
from agent.report import Refusal, progress

# What PostgreSQL needs to end a session that was told to, with room for a loaded machine.
ENDING_SECONDS = 30

# Writers that no client gate holds. Past the age autovacuum starts though it is off, and takes transaction ids (documentation, "Preventing
# Transaction ID Wraparound Failures"); 95 % leaves room for the hours between the check and the end of the window.
PREPARED = "SELECT gid, database FROM pg_prepared_xacts"
SUBSCRIBED = "SELECT subname FROM pg_subscription WHERE subenabled"
AT_WORK = (
    f"SELECT DISTINCT backend_type AS worker, datname AS database FROM pg_stat_activity WHERE {WORKERS} ORDER BY 1, 2"
)
NEAR_WRAPAROUND = (
    "SELECT datname FROM pg_database WHERE age(datfrozenxid) > 0.95 * current_setting('autovacuum_freeze_max_age')::bigint"
    " OR mxid_age(datminmxid) > 0.95 * current_setting('autovacuum_multixact_freeze_max_age')::bigint"
)


def refuse_other_writers(postgres: Postgres) -> None:
    """Writers that no client gate holds: prepared transactions, subscriptions, background jobs, forced autovacuum."""
    prepared, subscribed, workers, old = postgres.each_rows([PREPARED, SUBSCRIBED, AT_WORK, NEAR_WRAPAROUND])
    found = [f"the prepared transaction {row['gid']} in {row['database']}" for row in prepared]
    found += [f"the enabled subscription {row['subname']}" for row in subscribed]
    found += [f"the background worker {row['worker']} in {row['database']}" for row in workers]
    found += background_jobs(postgres)
    found += [
        f"{row['datname']} is near autovacuum_freeze_max_age: autovacuum would start though switched off" for row in old
    ]
    if found:
        raise Refusal(
            "nothing but clients to write on this database",
            "; ".join(found),
            "end, disable or vacuum these (COMMIT PREPARED, ALTER SUBSCRIPTION ... DISABLE, VACUUM FREEZE; a worker's extension out of"
            " shared_preload_libraries, with a restart), then run `pulumi up` again",
        )


def background_jobs(postgres: Postgres) -> List[str]:
    """What runs jobs of its own on a database that is no standby, whoever may get in."""
    preloaded = postgres.value("current_setting('shared_preload_libraries')")
    known = ("pg_cron", "pg_partman_bgw", "timescaledb")
    return [f"{job} in shared_preload_libraries" for job in known if job in preloaded]


def seal(postgres: Postgres, readers: Sequence[str], grace: float) -> List[str]:
    """Seal a running primary. `grace` in seconds is what transactions under way are given. What was changed. Raises Refusal."""
    changed = _write_down(postgres, readers)
    ended = _end_clients(postgres, _connections(postgres), grace)
    _end_autovacuum(postgres)
    refused = refused_from_here(postgres)
    if refused is not None:
        raise Refusal("a connection from outside to be refused", refused, f"see {postgres.cluster.hba_file}")
    # Last: only now is there a position that everything is before. They can write until they have gone, so the fence comes after that.
    consumers.drain(postgres, grace)
    ended += _end_clients(postgres, set(), 0)
    changed += consumers.ended(postgres)
    return changed + ([f"ended {ended} sessions"] if ended else [])


def _write_down(postgres: Postgres, readers: Sequence[str]) -> List[str]:
    """Settings and rules of the seal, in force. What PostgreSQL may refuse comes first, and what it refused is undone where the journal
    says that clients get in: the next reload or start, whoever asks for it, would shut them out."""
    server, cluster = postgres.server, postgres.cluster
    try:
        changed = seal_settings.set_for_seal(postgres)
        changed += write_rules(server, cluster, readers, sealed=True)
        postgres.reload()  # always: a run before this one may have died between writing the rules and having them read
    except Refusal:
        if journal.must_read(server).authority is Authority.HOLDS:
            write_rules(server, cluster, readers, sealed=False)
            seal_settings.set_back(postgres)
        raise
    return changed


def unseal(postgres: Postgres, readers: Sequence[str], was_open: bool = False) -> List[str]:
    """Take the seal away: clients get in as before it, and write. What was changed. Raises Refusal.

    The rules come first, so that the next start lets clients in, whatever fails here. `was_open`: settings like the seal's that no record
    tells of are the fleet's own.
    """
    changed = write_rules(postgres.server, postgres.cluster, readers, sealed=False)
    try:
        changed += seal_settings.set_back(postgres, unrecorded=not was_open)
    finally:
        postgres.reload()
    seal_settings.forget(postgres)
    return changed


def autovacuum_again(postgres: Postgres) -> List[str]:
    """Autovacuum as it was before the seal: where a stream writes, nothing is proved by transaction ids. What was changed."""
    names = ("autovacuum",)
    changed = seal_settings.set_back(postgres, names, unrecorded=True)
    # A run before this one may have died between setting it and having it read.
    if changed or postgres.value("current_setting('autovacuum')") == "off":
        postgres.reload()
        seal_settings.refuse_in_force(postgres, names)
    return changed


def is_whole(postgres: Postgres, quiet: bool = True) -> Optional[str]:
    """None if the seal holds, else what is missing of it. `quiet`: nothing may take transaction ids; not so where a stream writes."""
    if not seal_holds(postgres.server, postgres.cluster):
        return f"{postgres.cluster.hba_file} lets clients in"
    refused = refused_from_here(postgres)
    if refused is not None:
        return f"from outside: {refused}"
    if quiet and postgres.value("current_setting('autovacuum')") != "off":
        return "autovacuum is on, which takes transaction ids"
    inside = int(postgres.value(f"(SELECT count(*) FROM pg_stat_activity WHERE {INSIDE})"))
    return f"{inside} client sessions are inside" if inside else None


def take_fence(postgres: Postgres) -> Fence:
    """Where the sealed database's writes end: only once no transaction holds an id. All up to it is flushed, for an asynchronous commit that
    was acknowledged may not have been."""

    def look() -> Optional[str]:
        holders = postgres.value(HOLDING_AN_ID)
        prepared = postgres.value("(SELECT count(*) FROM pg_prepared_xacts)")
        return None if holders == "0" and prepared == "0" else f"{holders} transactions with an id, {prepared} prepared"

    wait_until(
        postgres.server,
        ENDING_SECONDS,
        "no transaction to hold an id",
        look,
        "see pg_locks for who holds one, end it, run `pulumi up` again",
    )
    at = positions.next_record(postgres)
    return Fence(xid=int(at["xid"]), lsn=at["lsn"])


def next_xid(postgres: Postgres) -> int:
    """The next transaction id; if it is still the fence's, nothing was written since. (An equal LSN proves nothing: reads move it.)

    A snapshot's xmax follows the last transaction that has ended, so those that hold an id and go on are counted, and first.
    """
    holding = int(postgres.value(HOLDING_AN_ID))
    return int(postgres.value("pg_snapshot_xmax(pg_current_snapshot())")) + holding


def refused_from_here(postgres: Postgres) -> Optional[str]:
    """None if a client that comes over TCP is refused by our rules."""
    own = OtherSide(
        postgres.server, "this server", postgres.address, postgres.cluster.port, postgres.cluster.program("psql")
    )
    return own.refuses_clients(postgres.cluster.superuser)


def _connections(postgres: Postgres) -> Set[int]:
    """The postmaster's children that may serve a connection, also one that is not let in yet (its title: ps_status.c).

    Such a title says where the connection comes from, `host(port)` or `[local]`, or is still the postmaster's own. The other
    processes without a session, such as the logger, have neither: they must be left alone.
    """
    listed = postgres.server.run("ps", "--ppid", str(postgres.postmaster()), "-o", "pid=,args=", check=False).stdout
    found = set()
    for line in listed.splitlines():
        pid, _, title = line.strip().partition(" ")
        if not title.startswith("postgres: ") or re.search(r"\[local\]|\(\d+\)", title):
            found.add(int(pid))
    return found


def _end_clients(postgres: Postgres, old_rules: Set[int], grace: float) -> int:
    """End every client session: idle ones at once, the others after `grace` seconds. How many were ended.

    Those that follow by a logical slot are ended by a call with no `old_rules`, once they were drained. `old_rules` are the connections there were right after the reload: one that was still authenticating then comes in under the
    old rules and shows in pg_stat_activity only once it is in. One look at pg_stat_activity, then at the processes: in the other
    order, or with two looks, it could come in between and be missed by both.
    """
    server = postgres.server
    deadline = server.monotonic() + grace
    ended: Set[int] = set()
    whom = f"{INSIDE} AND NOT {FOLLOWING}" if old_rules else INSIDE

    def look() -> Optional[str]:
        late = server.monotonic() > deadline
        rows = postgres.rows(
            "SELECT pid, client, who, state,"
            f" CASE WHEN client THEN {'pg_terminate_backend(pid)' if late else ENDED_IF_IDLE} ELSE false END AS ended"
            " FROM (SELECT pid, state, state_change, query,"
            " concat_ws(' from ', usename, coalesce(host(client_addr), 'the socket')) AS who,"
            f" ({whom}) AS client FROM pg_stat_activity) AS session"
        )
        ended.update(row["pid"] for row in rows if row["ended"])
        entering = (_connections(postgres) & old_rules) - {row["pid"] for row in rows} if old_rules else set()
        for pid in entering:
            server.run("kill", "-TERM", str(pid), check=False)
        clients = [row for row in rows if row["client"]]
        if clients:
            return f"{len(clients)} sessions inside, such as {clients[0]['who']} ({clients[0]['state']})"
        return f"{len(entering)} connections were still being let in" if entering else None

    wait_until(
        server,
        grace + ENDING_SECONDS,
        "every client session to end",
        look,
        "see pg_stat_activity on this server, then run `pulumi up` again",
    )
    return len(ended)


def _end_autovacuum(postgres: Postgres) -> None:
    def look() -> Optional[str]:
        rows = postgres.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
        )
        return f"{len(rows)} autovacuum workers" if rows else None

    progress("ending autovacuum's workers, which take transaction ids")
    wait_until(
        postgres.server, ENDING_SECONDS, "autovacuum's workers to end", look, "see pg_stat_activity on this server"
    )
