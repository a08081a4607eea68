"""Whether the replicas follow, DB_A can follow too, and the old primary could follow DB_A after cutover."""

from __future__ import annotations

from typing import Dict, List

from agent.check_names import CheckName
from agent.checks.check import OLD_DATABASES, Check, Severity, Side, Unseen
from agent.checks.sight import Sight
from agent.checks.wording import amount, few
from agent.states import Phase

STREAMS = (
    "SELECT coalesce(host(client_addr), '') AS address, state,"
    " pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint AS lag FROM pg_stat_replication"
)
# pg_basebackup --wal-method=stream holds two connections, and DB_A one slot.
SENDERS_FOR_COPY, SLOTS_FOR_COPY = 2, 1
SHORT_SECONDS = 10
# Time-outs of statements that are not the application's alone. This session has one of its own, so files are asked, not pg_settings.
LIMITED = """
SELECT name, setting AS value, 'for everybody' AS whom FROM (SELECT DISTINCT ON (name) name, setting FROM pg_file_settings
 WHERE applied AND name IN ('statement_timeout', 'transaction_timeout') ORDER BY name, seqno DESC) f
UNION ALL SELECT split_part(c.setting, '=', 1), split_part(c.setting, '=', 2), coalesce('in the database ' || d.datname, 'for everybody')
 FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase CROSS JOIN LATERAL unnest(s.setconfig) c(setting)
 WHERE s.setrole = 0 AND c.setting ~ '^(statement|transaction)_timeout='
ORDER BY 1, 3"""
# Who else takes one of max_worker_processes: processes that an extension started, not those PostgreSQL always has.
OTHER_WORKERS = """SELECT count(*) AS others FROM pg_stat_activity WHERE backend_type NOT IN ('client backend', 'parallel worker',
 'autovacuum launcher', 'autovacuum worker', 'logical replication launcher', 'logical replication worker', 'background writer',
 'checkpointer', 'archiver', 'startup', 'walreceiver', 'walsender', 'walwriter', 'walsummarizer', 'slotsync worker', 'io worker',
 'logical replication apply worker', 'logical replication parallel worker', 'logical replication tablesync worker', 'logger')"""


def _before_the_seal(sight: Sight) -> None:
    if Phase(sight.desired["phase"]) not in (Phase.PREPARE, Phase.READONLY):
        raise Unseen("it is asked before writes are refused, in prepare")


def _standbys(sight: Sight) -> Dict[str, str]:
    """The old replicas that are not lost: name -> address."""
    return {name: address for name, address in sight.desired["replicas"].items() if name in sight.desired["databases"]}


def _streaming(sight: Sight) -> List[str]:
    _before_the_seal(sight)
    state = {row["address"]: row["state"] for row in sight.rows(STREAMS)}
    found = []
    for name, address in _standbys(sight).items():
        if state.get(address) != "streaming":
            found.append(f"{name} ({address}) {f'is in {state[address]}' if address in state else 'is not connected'}")
    return few(found)


def _lag(sight: Sight) -> List[str]:
    _before_the_seal(sight)
    rows = [row for row in sight.rows(STREAMS) if row["state"] == "streaming"]
    found = []
    for name, address in _standbys(sight).items():
        behind = [int(row["lag"] or 0) for row in rows if row["address"] == address]
        if behind and min(behind) > sight.desired["lagBytes"]:
            found.append(f"{name} is {amount(min(behind))} behind, {amount(sight.desired['lagBytes'])} is the limit")
    return few(found)


def _wal_level(sight: Sight) -> List[str]:
    settings, rows = sight.settings(), sight.rows(STREAMS)
    found = ["wal_level is minimal"] if settings["wal_level"] == "minimal" else []
    if {row["address"] for row in rows} & set(sight.desired["target"].values()):
        return found  # DB_A has its place
    senders = int(settings["max_wal_senders"]) - len(rows)
    slots = int(settings["max_replication_slots"]) - int(
        sight.row("SELECT count(*) AS used FROM pg_replication_slots WHERE slot_name !~ '^pgleap'")["used"]
    )
    if senders < SENDERS_FOR_COPY:
        found.append(f"max_wal_senders leaves {senders}, DB_A's base backup takes {SENDERS_FOR_COPY}")
    if slots < SLOTS_FOR_COPY:
        found.append("max_replication_slots leaves none for DB_A")
    return found


def _slot_wal(sight: Sight) -> List[str]:
    limit = int(sight.settings().get("max_slot_wal_keep_size", "-1"))
    if limit < 0:
        return []
    data = int(sight.row("SELECT sum(pg_database_size(oid))::bigint AS bytes FROM pg_database")["bytes"])
    if limit * 1024 * 1024 >= data:
        return []
    return [f"max_slot_wal_keep_size is {amount(limit * 1024 * 1024)}, the databases are {amount(data)}"]


def _sender_timeout(sight: Sight) -> List[str]:
    settings, found = sight.settings(), []
    for name in ("wal_sender_timeout", "wal_receiver_timeout"):
        value = int(settings[name])
        if value == 0:
            found.append(f"{name} is 0: a connection that died is never noticed")
        elif value < SHORT_SECONDS * 1000:
            found.append(f"{name} is {value} ms: a busy server would be taken for a dead one")
    for row in sight.rows(LIMITED):
        if any(digit in row["value"] for digit in "123456789"):
            found.append(
                f"{row['name']} is {row['value']} {row['whom']}: pgleap's and administrators' long statements end by it"
            )
    return few(found)


def _stream_limits(sight: Sight) -> List[str]:
    if not sight.desired["reverse"]["enabled"]:
        return []
    settings, databases = sight.settings(), len(sight.databases())
    others = int(sight.row(OTHER_WORKERS)["others"])
    subscribed = int(sight.row("SELECT count(*) AS n FROM pg_subscription WHERE subname !~ '^pgleap'")["n"])
    need = databases + subscribed
    # From 18 on the origins of subscriptions have a limit of their own; before, the number of slots is it.
    origins = "max_active_replication_origins"
    limits = {
        "max_logical_replication_workers": need,
        "max_worker_processes": need + others + 1,  # the launcher
        origins if origins in settings else "max_replication_slots": need,
    }
    return [
        f"{name} is {settings[name]}, {wanted} are needed for {databases} databases"
        for name, wanted in limits.items()
        if int(settings[name]) < wanted
    ]


CHECKS = (
    Check(
        name=CheckName.STREAMING,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="reads go to the old replicas in the window, and one that does not follow serves yesterday's",
        do="see the replica's log and its primary_conninfo, rebuild it if need be; one that is gone for good: servers.<name>.lost",
        look=_streaming,
    ),
    Check(
        name=CheckName.LAG,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="writes are refused for as long as the fence takes to be replayed, and reads on DB_B would step back in time",
        do="end the query on the replica that its replay waits for (max_standby_streaming_delay), wait, or raise limits.lagBytes",
        look=_lag,
    ),
    Check(
        name=CheckName.WAL_LEVEL,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="DB_A is made as a standby of the old primary",
        do="ALTER SYSTEM SET wal_level = 'replica' (max_wal_senders, max_replication_slots: 10 or more), and restart before the window",
        look=_wal_level,
    ),
    Check(
        name=CheckName.SLOT_WAL,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="a base backup whose slot loses its WAL while it runs has to be taken again, and so has a replica",
        do="ALTER SYSTEM SET max_slot_wal_keep_size = '<the size of the databases>' or -1, and reload; watch the disk",
        look=_slot_wal,
    ),
    Check(
        name=CheckName.SENDER_TIMEOUT,
        severity=Severity.WARN,
        sides=OLD_DATABASES,
        why="replication or a base backup would end, or hang, in the middle; so would ANALYZE after the upgrade and the comparison before a"
        " way back",
        do="set the time-outs of replication to 60s, and those of statements by the application's roles only: ALTER ROLE <role> SET"
        " statement_timeout = ..., ALTER DATABASE <database> RESET statement_timeout",
        look=_sender_timeout,
    ),
    Check(
        name=CheckName.STREAM_LIMITS,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="after cutover the old primary follows DB_A by a subscription in each database, and these limits take a restart",
        do="ALTER SYSTEM SET <name> = <value>, on the replicas first if it is max_worker_processes, and restart them all before the"
        " window; or reverseReplication.enabled: false, and no way back from cutover",
        look=_stream_limits,
    ),
)
