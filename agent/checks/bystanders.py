"""Who else is connected, or comes at night: backups, monitoring, clients that the stack does not know."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List

from agent.check_names import CheckName
from agent.checks.check import OLD_DATABASES, Check, Severity
from agent.checks.sight import Sight
from agent.checks.wording import few
from agent.client_rules import LOCAL_ROLE, READER
from agent.report import Refusal

BACKUP_PROGRAMS = (
    "pgbackrest", "barman", "wal-g", "wal-e", "pg_dump", "pg_dumpall", "pg_basebackup", "pg_receivewal", "pg_probackup", "pghoard",
)  # fmt: skip
BACKUP = re.compile(
    rf"(?<![\w-])({'|'.join(re.escape(name) for name in BACKUP_PROGRAMS)}|autopostgresqlbackup|pg_back)(?![\w-])"
)
# As they call their sessions.
_BACKUP_NAMES = "|".join(name.replace("-", "[-_]?") for name in BACKUP_PROGRAMS)
CRON = ("/etc/crontab",)
CRON_FOLDERS = (
    "/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly", "/var/spool/cron",
    "/var/spool/cron/crontabs",
)  # fmt: skip
TIMER_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
MONITORING = (
    "exporter|prometheus|datadog|dd[-_ ]agent|zabbix|nagios|icinga|check_postgres|newrelic|new relic|pganalyze|pgwatch|telegraf|netdata"
    "|grafana|pmm|munin|collectd|monitor|dynatrace|instana|appdynamics|percona|temboard|powa"
)
# Sessions of the server itself.
OWN_ADDRESSES = ("127.0.0.1", "::1")

ROLES = f"coalesce(usename, '') NOT IN ('{READER}', '{LOCAL_ROLE}')"


def _backups(sight: Sight) -> List[str]:
    return few([*_running(sight), *_in_cron(sight), *_by_timer(sight), *_connected(sight), *_archiving(sight)])


def _running(sight: Sight) -> Iterator[str]:
    found = set()
    for comm in sight.server.path("/proc").glob("[0-9]*/comm"):
        try:
            found.add(comm.read_text().strip())
        except OSError:
            continue  # it has ended
    yield from (f"{name} runs" for name in BACKUP_PROGRAMS if name in found)


def _in_cron(sight: Sight) -> Iterator[str]:
    files = list(CRON)
    for folder in CRON_FOLDERS:
        there = sight.server.path(folder)
        files += [f"{folder}/{file.name}" for file in sorted(there.iterdir())] if there.is_dir() else []
    for file in files:
        names = {
            found.group(1)
            for line in (sight.text(file) or "").splitlines()
            if not line.lstrip().startswith("#")
            for found in BACKUP.finditer(line)
        }
        if names:
            yield f"{', '.join(sorted(names))} in {file}"


def _by_timer(sight: Sight) -> Iterator[str]:
    """Timers that are switched on: their units' files, for what systemd shows says nothing of the command."""
    wanted = sight.server.path("/etc/systemd/system/timers.target.wants")
    for timer in sorted(file.name for file in wanted.iterdir()) if wanted.is_dir() else []:
        unit = timer.replace(".timer", ".service")
        texts = [sight.text(f"{folder}/{unit}") or "" for folder in TIMER_FOLDERS]
        found = next((found for text in (timer, *texts) for found in [BACKUP.search(text)] if found), None)
        if found:
            yield f"{found.group(1)} by the timer {timer}"


def _connected(sight: Sight) -> Iterator[str]:
    for row in _sessions(sight, f"application_name ~* '{_BACKUP_NAMES}'"):
        # DB_A's own base backup is pgleap's.
        if row["address"] not in sight.desired["target"].values():
            yield f"{row['application'].strip()} of {row['role']} from {row['address']} ({row['sessions']} sessions)"


def _archiving(sight: Sight) -> Iterator[str]:
    try:
        settings = sight.settings()
    except Refusal:
        return
    found = BACKUP.search(settings.get("archive_command", ""))
    if found and settings.get("archive_mode") != "off":
        yield f"{found.group(1)} in archive_command"


def _monitoring(sight: Sight) -> List[str]:
    rows = _sessions(sight, f"concat_ws(' ', application_name, usename) ~* '{MONITORING}'")
    return few([_session(row) for row in rows])


def _unknown_clients(sight: Sight) -> List[str]:
    known = (*sight.desired["knownClients"], *OWN_ADDRESSES)
    # Monitoring and backups are told of by checks of their own, with what to do about them.
    rows = _sessions(
        sight,
        f"client_addr NOT IN ({', '.join(f'inet {_quoted(address)}' for address in known)})"
        f" AND concat_ws(' ', application_name, usename) !~* '{MONITORING}' AND application_name !~* '{_BACKUP_NAMES}'",
    )
    return few([_session(row) for row in rows])


def _session(row: Dict[str, Any]) -> str:
    called = f", {row['application'].strip()!r}" if row["application"].strip() else ""
    return f"{row['role']} in {row['database']} from {row['address']}{called} ({row['sessions']} sessions)"


def _sessions(sight: Sight, which: str) -> List[Dict[str, Any]]:
    """Clients' sessions, those that stream among them, that `which` picks."""
    return sight.rows(
        "SELECT coalesce(usename, '?') AS role, coalesce(datname, 'no database') AS database,"
        " coalesce(host(client_addr), 'the socket') AS address, application_name AS application, count(*) AS sessions"
        f" FROM pg_stat_activity WHERE backend_type IN ('client backend', 'walsender') AND {ROLES} AND {which}"
        " GROUP BY 1, 2, 3, 4 ORDER BY sessions DESC, 1, 2, 3, 4 LIMIT 100"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


CHECKS = (
    Check(
        name=CheckName.BACKUPS,
        severity=Severity.NOTE,
        sides=OLD_DATABASES,
        why="from cutover on it would go on saving the old primary, and DB_A nobody",
        do="have the next backup run before the window and none in it; afterwards set it up anew for DB_A, with an archive of its own",
        look=_backups,
    ),
    Check(
        name=CheckName.MONITORING,
        severity=Severity.NOTE,
        sides=OLD_DATABASES,
        why="its sessions are ended by the seal, its alarms ring in the window, and from cutover on it watches the wrong server",
        do="silence it for the window, and point it at DB_A and the new replicas afterwards",
        look=_monitoring,
    ),
    Check(
        name=CheckName.UNKNOWN_CLIENTS,
        severity=Severity.WARN,
        sides=OLD_DATABASES,
        why="what comes from a server that the stack does not know is refused from the seal on, and nothing leads it to DB_A",
        do="find out whose it is; add its server to pgleap:servers, or change its address by hand after cutover",
        look=_unknown_clients,
    ),
)
