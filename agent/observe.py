"""Verb `observe`: what this server really is. It reads, takes no lock that a step waits for, and writes nothing at all.

What cannot be seen is said in its place, `{"not seen": why}`; nothing that is missing or broken makes it refuse.
"""

from __future__ import annotations

import shutil
from typing import Any, Callable, Dict, List, Mapping, Optional

from agent import client_rules, journal, statistics, way_back
from agent.client_sessions import CLIENTS
from agent.cluster import Cluster, from_desired
from agent.detached import Run
from agent.hosts_file import RECORD
from agent.offline_tasks import RECORD as TASKS_RECORD
from agent.onlooker import Onlooker
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import Verb
from agent.subscriber import Subscriber
from agent.target import TARGET_FILE

# Databases that are asked for their statistics at once.
STATISTICS_AT_ONCE = 4
# One connection, one statement, no transaction id: a fence is proved by the next one.
QUERY = f"""
WITH here AS (
  SELECT pg_is_in_recovery() AS standby,
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn
)
SELECT current_setting('server_version') AS version,
  standby AS "inRecovery",
  lsn::text AS position,
  CASE WHEN standby THEN pg_last_wal_receive_lsn()::text END AS received,
  CASE WHEN NOT standby THEN 0 WHEN pg_last_wal_receive_lsn() <= lsn THEN 0
    ELSE round(extract(epoch FROM now() - pg_last_xact_replay_timestamp())::numeric, 1) END AS "behindSeconds",
  pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS "nextTransaction",
  current_setting('default_transaction_read_only') = 'on' AS "readOnly",
  extract(epoch FROM pg_conf_load_time())::float8 AS "rulesRead",
  (SELECT row_to_json(r) FROM (SELECT status, sender_host AS "from" FROM pg_stat_wal_receiver) r) AS receiver,
  (SELECT coalesce(json_agg(row_to_json(s)), '[]') FROM (
    SELECT application_name AS name, host(client_addr) AS address, state,
      pg_wal_lsn_diff(lsn, replay_lsn)::bigint AS "behindBytes"
    FROM pg_stat_replication ORDER BY 1, 2) s) AS standbys,
  (SELECT coalesce(json_agg(row_to_json(c)), '[]') FROM (
    SELECT coalesce(host(client_addr), 'socket') AS client, coalesce(state, 'starting') AS state, count(*) AS sessions
    FROM pg_stat_activity WHERE {CLIENTS} GROUP BY 1, 2 ORDER BY 1, 2) c) AS sessions
FROM here
"""


def observe(desired: Mapping[str, Any], server: Server) -> Facts:
    """Look at what `desired` names: `names` of databases, `tasks` (units), `clusters` (as in other desired states)."""
    onlooker = Onlooker(server)
    clusters = [from_desired(cluster) for cluster in desired.get("clusters", [])]
    facts: Facts = {
        "changed": [],
        "because": "it only looks",
        "names": {name: _seen(_name, name, onlooker) for name in desired.get("names", [])},
        "namesManaged": _seen(lambda: bool(onlooker.read_json(RECORD))),
        "tasks": {unit: _seen(_task, unit, onlooker) for unit in desired.get("tasks", [])},
    }
    if clusters:
        facts["units"] = _seen(_units, onlooker)
        facts["journal"] = _seen(_journal, onlooker)
        facts["clusters"] = {
            str(cluster.version): _cluster(Postgres(onlooker, cluster, desired["address"])) for cluster in clusters
        }
        facts["target"] = _seen(_target, onlooker)
        facts["stream"] = _seen(_stream, desired, clusters[-1], onlooker)
        facts["statistics"] = _seen(_statistics, desired, clusters[-1], onlooker)
    return facts


def _seen(look: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return look(*arguments)
    except Refusal as refused:
        return {"not seen": refused.found}
    except (OSError, ValueError, TypeError, KeyError, IndexError) as wrong:
        return {"not seen": f"{type(wrong).__name__}: {wrong}"}


def _journal(server: Server) -> Optional[Dict[str, Any]]:
    own = journal.read(server)
    return own.to_json() if own is not None else None


def _name(name: str, server: Server) -> List[str]:
    """The addresses that a program on this server gets for a name, in their order, each once."""
    lines = server.run("getent", "ahosts", name, check=False).stdout.splitlines()
    return list(dict.fromkeys(line.split()[0].partition("%")[0] for line in lines if line.strip()))


def _task(unit: str, server: Server) -> Dict[str, Any]:
    """What systemd says of a unit, whether pgleap's drop-in holds it, and whether it ran before pgleap stopped it."""
    shown = server.run("systemctl", "show", "--property=LoadState,ActiveState,Type,ExecMainStatus", "--", unit).stdout
    given = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    entry = server.read_json(TASKS_RECORD).get(unit, {})
    return {
        "loaded": given["LoadState"],
        "active": given["ActiveState"],
        "type": given.get("Type", ""),
        "held": server.path(f"/etc/systemd/system/{unit}.d/zz-pgleap.conf").exists(),
        "ranBefore": entry.get("was running"),
    }


def _units(server: Server) -> Dict[str, str]:
    """The units of pgleap's own that systemd knows just now, and what each does."""
    listed = server.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "pgleap-*").stdout
    words = [line.split() for line in listed.splitlines()]
    return {word[0]: word[2] for word in words if len(word) > 3}


def _target(server: Server) -> Optional[Dict[str, Any]]:
    """How far DB_A's making came, what its last run was asked for, last said, and why it refused; None if there was none."""
    run = Run(server, Verb.UPGRADE_TARGET.value)
    came, asked, result = (server.read_json(file) for file in (TARGET_FILE, run.request_file, run.result_file))
    if not came and not asked:
        return None
    progress = server.path(run.progress_file)
    said = progress.read_text(errors="replace").splitlines() if progress.exists() else []
    refusal = result.get("refusal")
    return {
        "baseBackup": came.get("baseBackup"),
        "newCluster": came.get("newCluster"),
        "asked": asked.get("database"),
        "underWay": run.is_under_way(),
        "said": said[-1][:300] if said else None,
        "refused": f"expected {refusal['expected']}; found {refusal['found']}; to do: {refusal['do']}"
        if refusal
        else None,
    }


def _stream(desired: Mapping[str, Any], cluster: Cluster, server: Server) -> Facts:
    """The reverse stream as this side sees it; empty where there is none."""
    asked, postgres = desired.get("stream"), Postgres(server, cluster, desired["address"])
    if asked is None or not postgres.is_running() or postgres.in_recovery():
        return {}
    if asked["side"] == "DB_A":
        return way_back.seen_on_target(postgres, asked["leaveOut"], asked["jobs"])
    target = OtherSide.from_desired(asked["otherSide"], server, cluster.program("psql"))
    seen = way_back.seen_on_old_primary(Subscriber(postgres, target, asked["jobs"]))
    return seen or {"ahead": way_back.ahead(postgres, asked["leaveOut"], asked["newVersion"])}


def _statistics(desired: Mapping[str, Any], cluster: Cluster, server: Server) -> Optional[Facts]:
    """What DB_A still lacks of them; None where nothing is owed, or nobody can be asked."""
    postgres = Postgres(server, cluster, desired["address"])
    return statistics.seen(postgres, STATISTICS_AT_ONCE) if postgres.is_running() else None


def _cluster(postgres: Postgres) -> Dict[str, Any]:
    """One version's cluster. Without a login (it is down, or pgleap's rules are not there) what its files and port tell."""
    cluster, server = postgres.cluster, postgres.server
    data = server.path(cluster.data)
    there = _seen((data / "PG_VERSION").exists)
    running = _seen(postgres.is_running)
    facts: Dict[str, Any] = {
        "installed": _seen(lambda: server.path(cluster.program("postgres")).exists()),
        "there": there,
        "running": running,
        "freeBytes": _seen(_free, cluster, server),
    }
    if there is True:
        facts["state"] = _seen(_state, cluster, server)
    if running is True:
        facts["gate"] = _seen(_gate, postgres)
        facts["inside"] = _seen(_inside, postgres)
    return facts


def _free(cluster: Cluster, server: Server) -> int:
    """What is free on the disk of the data directory, or of where it will be, in bytes."""
    folder = server.path(cluster.data)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _state(cluster: Cluster, server: Server) -> Optional[str]:
    """What pg_control says of the cluster, such as "in production" or "in archive recovery"."""
    if server.path(f"{cluster.data}/global/pg_control.old").exists():
        # So pg_upgrade leaves it (its documentation, "Usage", step 16): it must not be started any more.
        return "linked to the new version"
    told = server.run(cluster.program("pg_controldata"), "-D", cluster.data).stdout
    states = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("Database cluster state")]
    return states[0] if states else None


def _gate(postgres: Postgres) -> Dict[str, Any]:
    """The gate as it is: what the rules in pg_hba.conf say, and what becomes of a client that comes over TCP from here.

    `fromHere` is None if its rules refused the client; else what it said.
    """
    path = postgres.server.path(postgres.cluster.hba_file)
    ours, _ = client_rules.split(path.read_text())
    return {
        "rules": "none of pgleap's" if not ours else "sealed" if client_rules.SEALED in ours else "open",
        "rulesWritten": path.stat().st_mtime,
        "fromHere": _from_here(postgres),
    }


def _from_here(postgres: Postgres) -> Optional[str]:
    """None if the rules refuse a client that comes over TCP. It never tries a password: a failed one stands in the log of an
    open database, each time that somebody looks."""
    cluster = postgres.cluster
    done = postgres.server.run(
        cluster.program("psql"), "-w", "-XAtq", "-d", "postgres", "-c", "SELECT 1", check=False,
        environment={
            "PGHOST": postgres.address,
            "PGPORT": str(cluster.port),
            "PGUSER": cluster.superuser,
            "PGPASSFILE": "/dev/null",
            "PGAPPNAME": "pgleap",
            "PGCONNECT_TIMEOUT": "2",
        },
    )  # fmt: skip
    if done.returncode == 0:
        return "the connection was let in"
    # The message may be in the server's own language; the file's name is in it all the same.
    return None if "pg_hba.conf" in done.stderr else done.stderr.strip()


def _inside(postgres: Postgres) -> Dict[str, Any]:
    """What only a login shows. Before pgleap's rules are there none is tried: each would stand in the server's log as refused."""
    hba = postgres.cluster.hba_file
    if not client_rules.split(postgres.server.path(hba).read_text())[0]:
        return {"not seen": f"pgleap's rules are not in {hba}, so it has no login yet"}
    return postgres.row(QUERY)
