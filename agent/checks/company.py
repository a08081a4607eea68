"""Who else is tied to the old primary, by replication or by a link, and would lose the tie; and what acts on its own there."""

from __future__ import annotations

import re
from typing import Any, Dict, List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.each_database import in_each
from agent.checks.sight import Sight
from agent.checks.wording import amount, few
from agent.own_names import PUBLICATION, SLOT
from agent.session_settings import EVENT_TRIGGERS_OFF_SINCE

SLOTS = """SELECT s.slot_name AS name, s.slot_type AS type, s.plugin, s.database, s.active,
  to_jsonb(s)->>'wal_status' AS status, host(r.client_addr) AS address, r.application_name AS application, r.usename AS role,
  s.confirmed_flush_lsn::text AS confirmed,
  CASE WHEN s.restart_lsn IS NOT NULL THEN pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint END AS kept
FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
WHERE NOT s.temporary OR s.plugin IS NOT NULL ORDER BY 1"""


def _slots(sight: Sight) -> List[str]:
    return few([_slot(row) for row in sight.rows(SLOTS) if not _is_ours(sight, row)])


def _slot(row: Dict[str, Any]) -> str:
    kind = f"logical slot {row['name']} of {row['database']} ({row['plugin']})" if row["plugin"] else ""
    role = f" as {row['role']}" if row["plugin"] and row["role"] else ""
    who = f"read by {row['application'] or 'somebody'}{role} from {row['address'] or 'the socket'}"
    kept = "lost" if row["status"] == "lost" else f"{amount(row['kept'] or 0)} of WAL kept"
    came = f", confirmed up to {row['confirmed']}" if row["confirmed"] else ""
    return f"{kind or 'physical slot ' + row['name']}: {who if row['active'] else 'nobody reads it'}{came}, {kept}"


def _is_ours(sight: Sight, row: Dict[str, Any]) -> bool:
    """pgleap's own, and those of the stack's own replicas: read by one of its servers, or named after one."""
    if row["name"] == SLOT or row["name"].startswith(f"{PUBLICATION}_"):
        return True
    if row["plugin"]:
        return False
    databases = sight.desired["databases"]
    names = [re.sub("[^a-z0-9_]", "_", name.lower()) for name in (*databases, *sight.desired["replicas"])]
    named = any(re.fullmatch(f"([a-z]+_)*{re.escape(name)}(_slot)?", row["name"]) for name in names)
    return named or (row["address"] is not None and row["address"] in databases.values())


SUBSCRIPTIONS = f"""SELECT d.datname AS database, quote_ident(s.subname) AS name, array_to_string(s.subpublications, ', ') AS publications
FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE s.subenabled AND s.subname <> '{PUBLICATION}' ORDER BY 1, 2"""


def _subscriptions(sight: Sight) -> List[str]:
    rows = sight.rows(SUBSCRIPTIONS)
    return few([f"{row['database']}: {row['name']}, to {row['publications']}, is enabled" for row in rows])


# One that nobody reads loses nobody: whoever reads by it has a slot in its database, also while it is away.
PUBLICATIONS = f"""SELECT quote_ident(p.pubname) AS name, p.puballtables AS whole,
  (SELECT count(*) FROM pg_publication_tables t WHERE t.pubname = p.pubname) AS tables
FROM pg_publication p WHERE p.pubname <> '{PUBLICATION}' AND EXISTS (SELECT FROM pg_replication_slots s
  WHERE s.database = current_database() AND s.plugin = 'pgoutput' AND s.slot_name !~ '^{PUBLICATION}_') ORDER BY 1"""


def _publications(sight: Sight) -> List[str]:
    rows = sight.everywhere(PUBLICATIONS)
    return few(
        [f"{row['database']}: {row['name']}, of {'all ' if row['whole'] else ''}{row['tables']} tables" for row in rows]
    )


FOREIGN = """SELECT quote_ident(s.srvname) AS name, w.fdwname AS wrapper, (SELECT count(*) FROM pg_user_mapping m WHERE m.umserver = s.oid) AS users,
  (SELECT o.option_value FROM pg_options_to_table(s.srvoptions) o WHERE o.option_name IN ('host', 'hostaddr', 'servername', 'server')
    ORDER BY o.option_name = 'hostaddr' DESC LIMIT 1) AS host
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw ORDER BY 1"""
DBLINK = "SELECT extname FROM pg_extension WHERE extname = 'dblink'"


def _foreign_servers(sight: Sight, to_the_stack: bool) -> List[str]:
    desired = sight.desired
    stack = {*desired["names"], *desired["names"].values(), *desired["databases"], *desired["databases"].values()}
    return [
        f"{row['database']}: {row['name']} ({row['wrapper']}{' to ' + row['host'] if row['host'] else ''}), {row['users']} user mappings"
        for row in sight.everywhere(FOREIGN)
        if (row["host"] in stack) is to_the_stack
    ]


def _foreign(sight: Sight) -> List[str]:
    dblink = [f"{row['database']}: the extension dblink" for row in sight.everywhere(DBLINK)]
    return few([*_foreign_servers(sight, to_the_stack=False), *dblink])


def _links(sight: Sight) -> List[str]:
    return few(_foreign_servers(sight, to_the_stack=True))


# A table of an extension that may not be there: `query_to_xml` would do in one statement, two are read more easily.
TABLES = "SELECT to_regclass('cron.job') IS NOT NULL AS cron, to_regclass('pgagent.pga_job') IS NOT NULL AS pgagent"
CRON = """SELECT format('%s, %s: %s', jobid, schedule, left(regexp_replace(command, '\\s+', ' ', 'g'), 80)) AS job FROM cron.job
WHERE active ORDER BY jobid"""
PGAGENT = "SELECT quote_ident(jobname) AS job FROM pgagent.pga_job WHERE jobenabled ORDER BY jobid"


def _jobs(sight: Sight, scheduler: str, query: str) -> List[str]:
    return few(
        [
            f"{row['database']}: the job {job['job']}"
            for row in sight.everywhere(TABLES)
            if row[scheduler]
            for job in sight.rows(query, row["database"])
        ]
    )


def _scheduled_jobs(sight: Sight) -> List[str]:
    return _jobs(sight, "cron", CRON)


def _job_clients(sight: Sight) -> List[str]:
    return _jobs(sight, "pgagent", PGAGENT)


EVENT_TRIGGERS = """SELECT quote_ident(e.evtname) AS name, e.evtevent AS event, e.evtfoid::regprocedure::text AS function
FROM pg_event_trigger e WHERE e.evtenabled <> 'D' ORDER BY 1"""


def _event_triggers(sight: Sight) -> List[str]:
    rows = in_each(sight, EVENT_TRIGGERS)
    return few([f"{row['database']}: {row['name']}, on {row['event']}, calls {row['function']}" for row in rows])


# Those that a session of pgleap's cannot keep from firing: it is one of replication there (session_settings).
ALWAYS = """SELECT quote_ident(e.evtname) AS name, e.evtevent AS event,
  CASE e.evtenabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END AS enabled
FROM pg_event_trigger e WHERE e.evtenabled IN ('A', 'R') ORDER BY 1"""


def _event_triggers_always(sight: Sight) -> List[str]:
    if min(sight.old.version, sight.new.version) >= EVENT_TRIGGERS_OFF_SINCE:
        return []
    return few(
        [
            f"{row['database']}: {row['name']}, on {row['event']}, ENABLE {row['enabled']}"
            for row in in_each(sight, ALWAYS)
        ]
    )


HERE = (Side.OLD_PRIMARY,)
CHECKS = (
    Check(
        name=CheckName.REPLICATION_SLOTS,
        severity=Severity.WARN,
        sides=HERE,
        why="DB_A has none of these slots, for it is a standby until it is upgraded: whoever reads by them loses its place, or its stream; one"
        " that reads by a logical slot is sent everything up to the fence by the seal, within graceSeconds, and then ended",
        do="drop slots that nobody reads; for each logical one, once DB_A is open: make a slot there, have the reader take a snapshot or go on"
        " from it, and compare (logicalSlots among what the step client-gate told says how far each came); drop the old slots then, they"
        " fill the old primary's disk",
        look=_slots,
    ),
    Check(
        name=CheckName.SUBSCRIPTIONS,
        severity=Severity.REFUSE,
        sides=HERE,
        why="a subscription writes on the old primary whatever its client gate says",
        do="ALTER SUBSCRIPTION ... DISABLE for the window, and plan how it goes on from DB_A",
        look=_subscriptions,
    ),
    Check(
        name=CheckName.PUBLICATIONS,
        severity=Severity.WARN,
        sides=HERE,
        why="somebody reads by these: DB_A has the publication but not its subscribers' slots, and they must be pointed to DB_A",
        do="disable the subscriptions before the window; after cutover make their slots on DB_A, point them there, and compare",
        look=_publications,
    ),
    Check(
        name=CheckName.FOREIGN_SERVERS,
        severity=Severity.NOTE,
        sides=HERE,
        why="DB_A connects to them from another address",
        do="see that they let DB_A and the new replicas in (firewall, pg_hba.conf)",
        look=_foreign,
    ),
    Check(
        name=CheckName.LINKS_TO_STACK,
        severity=Severity.WARN,
        sides=HERE,
        why="a link to a server of this stack goes on to the old database after cutover, unless its name moves on DB_A too",
        do="ALTER SERVER ... OPTIONS (SET host '...') after cutover, or have the name resolve on DB_A to where it is to go",
        look=_links,
    ),
    Check(
        name=CheckName.SCHEDULED_JOBS,
        severity=Severity.REFUSE,
        sides=HERE,
        why="pg_cron writes on the old primary from inside, whatever its client gate says",
        do="take pg_cron out of shared_preload_libraries for the window, which `ready` wants whatever its jobs are (a restart); until"
        " then UPDATE cron.job SET active = false",
        look=_scheduled_jobs,
    ),
    Check(
        name=CheckName.JOB_CLIENTS,
        severity=Severity.WARN,
        sides=HERE,
        why="pgAgent's jobs are refused in the window like every client, and its own connection names one server",
        do="stop pgAgent for the window, and point it to DB_A after cutover",
        look=_job_clients,
    ),
    Check(
        name=CheckName.EVENT_TRIGGERS,
        severity=Severity.NOTE,
        sides=HERE,
        why="they fire for none of pgleap's own statements, nor for the extensions' updates on DB_A; for an application's they fire as before",
        do="nothing, unless one of them has to see everything that is done: pgleap's schema, publication and subscriptions it does not see",
        look=_event_triggers,
    ),
    Check(
        name=CheckName.EVENT_TRIGGERS_ALWAYS,
        severity=Severity.REFUSE,
        sides=HERE,
        why="before version 17 nothing keeps these from firing for pgleap's own statements: one that forbids them fails the window, and what"
        " one writes on one side alone makes the way back refuse",
        do="ALTER EVENT TRIGGER <name> ENABLE makes an ordinary one of it, ALTER EVENT TRIGGER <name> DISABLE none, until retire",
        look=_event_triggers_always,
    ),
)
