"""What a fleet is after the last phases, looked at on its servers: who streams, where names lead, what still runs."""

from __future__ import annotations

from rehearsal import load_balancer
from rehearsal.lab.databases import UNIT
from rehearsal.stage import Stage, psql_as_root

# Of the stream back nothing may stay: slots fill the disk, identities make each UPDATE dearer.
LEFT = "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'"
# What DB_A's commits wait for is in the stack's config (operator_stack.py).
STREAMS = (
    "SELECT string_agg(application_name || ' ' || state || ' ' || sync_state, ', ' ORDER BY application_name COLLATE \"C\") FROM pg_stat_replication"
    " WHERE application_name IN ({names})"
)


def leads(it: Stage, server: str) -> dict[str, str]:
    """Where the names lead on a server, as its programs are told."""
    host = it.lab.host(server)
    return {name: host.run(["getent", "ahostsv4", name]).split()[0] for name in it.fleet.names}


def wrong_with_replicas(it: Stage) -> list[str]:
    """What is not as `replicas` has it, in sentences."""
    found = [
        f"{client.name}: names lead to {leads(it, client.name)}"
        for client in it.clients
        if leads(it, client.name) != it.fleet.spread()
    ]
    names = ", ".join(f"'{one.name}'" for one in it.fleet.new_replicas)
    streaming = psql_as_root(it.lab.host(it.fleet.target.name))("postgres", STREAMS.format(names=names or "''")).strip()
    wanted = ", ".join(sorted(f"{one.name} streaming quorum" for one in it.fleet.new_replicas))
    if streaming != wanted:
        found.append(f"{it.fleet.target.name} streams to: {streaming or 'nobody'}")
    for one in it.fleet.new_replicas:
        psql = psql_as_root(it.lab.host(one.name))
        state = psql(
            "postgres", "SELECT pg_is_in_recovery(), current_setting('server_version_num')::int / 10000"
        ).strip()
        if state != "t|17":
            found.append(f"{one.name} is not a replica of version 17: {state}")
    return found


def wrong_with_load_balancer(it: Stage, phase: str) -> list[str]:
    """Whether the drained servers are where `phase` has them, in a sentence."""
    members = load_balancer.opened(it.lab.place).members()
    wanted = set() if phase in ("readonly", "upgrade") else set(it.fleet.drained)
    return [] if members == wanted else [f"{phase}: in the load balancer are {sorted(members)}, not {sorted(wanted)}"]


def wrong_with_old_servers(it: Stage) -> list[str]:
    """What is not as `retire` has it, in sentences."""
    found = []
    for one in (it.fleet.primary, *it.fleet.replicas):
        host = it.lab.host(one.name)
        state = host.run(
            ["sh", "-c", f"systemctl is-active {UNIT}; cat /etc/postgresql/15/main/start.conf; true"]
        ).split()
        if state[0] == "active" or "disabled" not in state:
            found.append(f"{one.name}: PostgreSQL is {' '.join(state)}")
    target = psql_as_root(it.lab.host(it.fleet.target.name))
    for what, query in (
        ("logical slots", LEFT),
        ("publications", "SELECT count(*) FROM pg_publication"),
        ("full identities", "SELECT count(*) FROM pg_class WHERE relreplident = 'f' AND relkind = 'r'"),
    ):
        counted = target("shop", query).strip()
        if counted != "0":
            found.append(f"{it.fleet.target.name} still has {counted} {what}")
    return found
