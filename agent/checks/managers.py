"""Who else would act on a database server: cluster managers that promote replicas, and workers inside PostgreSQL that write."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Optional, Set

from agent.access import MANAGERS
from agent.check_names import CheckName
from agent.checks.check import OLD_DATABASES, Check, Severity, Side
from agent.checks.sight import Sight

# Beside those that the step `access` refuses.
OTHER_MANAGERS = ("stolon-keeper", "stolon-sentinel", "pacemaker", "corosync")
# A process's name, fifteen letters at most (proc_pid_comm(5)) -> the manager's: not everybody runs it as a unit of that name.
PROCESSES = {
    "patroni": "patroni",
    "repmgrd": "repmgrd",
    "pg_autoctl": "pg_auto_failover",
    "stolon-keeper": "stolon-keeper",
    "stolon-sentinel": "stolon-sentinel",
    "pacemakerd": "pacemaker",
}
SAME = {"pgautofailover": "pg_auto_failover", "corosync": "pacemaker"}
PATRONI_PORT = 8008

# What starts workers that write by themselves, or call what writes.
PRELOADED = (
    "pg_cron", "timescaledb", "pg_partman_bgw", "pglogical", "bdr", "citus", "pg_squeeze", "powa", "pg_net", "pgq", "pg_dbms_job",
    "pg_timetable", "age_scheduler", "spock",
)  # fmt: skip
# These the step `ready` refuses by their names (agent/seal.py), and whatever else runs in a database.
REFUSED = ("pg_cron", "pg_partman_bgw", "timescaledb")
# PostgreSQL's own, 12 to 18 (pgstatfuncs.c, GetBackendTypeDesc; bgworker names in contrib), and whoever came as a client.
OWN = (
    "client backend", "autovacuum launcher", "autovacuum worker", "logical replication launcher", "logical replication worker",
    "logical replication apply worker", "logical replication parallel worker", "logical replication tablesync worker",
    "parallel worker", "background worker", "background writer", "checkpointer", "startup", "archiver", "logger", "walreceiver",
    "walsender", "walwriter", "walsummarizer", "wal receiver", "wal sender", "wal writer", "io worker", "slotsync worker",
    "standalone backend", "autoprewarm leader", "autoprewarm worker", "pg_wait_sampling collector", "basebackup_to_shell",
)  # fmt: skip


def _cluster_managers(sight: Sight) -> List[str]:
    units = (*MANAGERS, *OTHER_MANAGERS)
    states = sight.program("systemctl", "is-active", *units).stdout.split()
    found = {SAME.get(unit, unit) for unit, state in zip(units, states) if state == "active"} | _processes(sight)
    return list(_told(found, sight))


def _told(managers: Set[str], sight: Sight) -> Iterator[str]:
    for manager in sorted(managers):
        if manager == "patroni":
            paused = _patroni_is_paused(sight)
            yield "patroni runs" + ("; it is paused, and its unit must be stopped too" if paused else "")
        elif manager == "pacemaker" and _pacemaker_is_paused(sight):
            continue
        else:
            yield f"{manager} runs"


def _processes(sight: Sight) -> Set[str]:
    found = set()
    for comm in sight.server.path("/proc").glob("[0-9]*/comm"):
        try:
            found.add(PROCESSES.get(comm.read_text().strip(), ""))
        except OSError:
            continue  # it has ended
    return found - {""}


def _patroni_is_paused(sight: Sight) -> bool:
    """As it says itself, where it listens by default; false if it does not answer in a second."""
    for address in ("127.0.0.1", sight.desired["address"]):
        host = f"[{address}]" if ":" in address else address
        said = _json(f"http://{host}:{PATRONI_PORT}/patroni")
        if said is not None:
            return said.get("pause") is True
    return False


def _json(url: str) -> Optional[Dict[str, Any]]:
    import urllib.error  # noqa: PLC0415 - few have a Patroni, and each would load http, email and ssl with it
    import urllib.request  # noqa: PLC0415

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as answer:
            found: Dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        # A replica that lags answers 503, and says the same.
        try:
            found = json.load(error)
        except ValueError:
            return None
    except (OSError, ValueError):
        return None
    return found


def _pacemaker_is_paused(sight: Sight) -> bool:
    """In maintenance mode it starts, stops and promotes nothing."""
    if not sight.server.path("/usr/sbin/crm_attribute").exists():
        return False
    said = sight.program("crm_attribute", "--query", "--name", "maintenance-mode", "--quiet").stdout
    return said.strip() == "true"


def _background_workers(sight: Sight) -> List[str]:
    preloaded = [name.strip(' "') for name in sight.settings()["shared_preload_libraries"].split(",")]
    libraries = [name.rsplit("/", 1)[-1] for name in preloaded]
    found = [
        f"{name} in shared_preload_libraries" + (": the step `ready` refuses it" if name in REFUSED else "")
        for name in PRELOADED
        if any(library == name or library.startswith(f"{name}-") for library in libraries)
    ]
    rows = sight.rows(
        "SELECT backend_type AS worker, coalesce(datname, '') AS database, count(*) AS workers FROM pg_stat_activity"
        f" WHERE backend_type NOT IN ({', '.join(_quoted(name) for name in OWN)}) GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 20"
    )
    for row in rows:
        where = f" in {row['database']}" if row["database"] else ""
        refused = ": the step `ready` refuses it" if row["database"] else ""
        found.append(f"the background worker {row['worker']}{where} ({row['workers']}){refused}")
    return found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


CHECKS = (
    Check(
        name=CheckName.CLUSTER_MANAGERS,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY, Side.OLD_REPLICA, Side.TARGET, Side.NEW_REPLICA),
        why="it would promote an old replica while the primary is sealed, or undo what pgleap does; then two databases take writes",
        do="pause it (patronictl pause, repmgr service pause), then stop its unit on every server: systemctl stop patroni; PostgreSQL"
        " must go on running by its own unit",
        look=_cluster_managers,
    ),
    Check(
        name=CheckName.BACKGROUND_WORKERS,
        severity=Severity.WARN,
        sides=OLD_DATABASES,
        why="a worker inside PostgreSQL writes without being a client, which no client gate refuses",
        do="see what it does; disable its jobs for the window, or take it out of shared_preload_libraries and restart beforehand",
        look=_background_workers,
    ),
)
