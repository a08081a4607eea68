"""Whether the replicas follow, DB_A can follow too, and the old primary could follow DB_A after cutover."""

from __future__ import annotations

from typing import Dict, List

from agent.check_names import CheckName
from agent.checks.check import OLD_DATABASES, Check, Severity, Side, Unseen
from agent.checks.room import COPY_BYTES_A_SECOND, MB, wal_rate
from agent.checks.sight import Sight
from agent.checks.wording import amount, few, listed
from agent.client_rules import BEGIN
from agent.other_side import OtherSide
from agent.report import Refusal
from agent.states import Phase

STREAMS = (
    "SELECT coalesce(host(client_addr), '') AS address, state,"
    " pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint AS lag FROM pg_stat_replication"
)
# pg_basebackup --wal-method=stream holds two connections, and DB_A one slot.
SENDERS_FOR_COPY, SLOTS_FOR_COPY = 2, 1
SHORT_SECONDS = 10
# A load is seldom four times what is usual for as long as a base backup takes.
PEAK = 4
# A replica may be this late for a moment, and not a second later.
LOOKS, BETWEEN_SECONDS = 3, 1.0
RECEIVER = "SELECT status FROM pg_stat_wal_receiver"
# Of a role that may not see with whom.
RECEIVES = (
    "SELECT json_build_object('standby', pg_is_in_recovery(), 'receives', EXISTS (SELECT FROM pg_stat_wal_receiver));"
)
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
    """DB_B streams from the old primary itself, which sees there how far it came; another replica may stream from one of them."""
    _before_the_seal(sight)
    if sight.desired["side"] == Side.OLD_REPLICA.value:
        return [] if sight.desired["isReadFrom"] else _receiving(sight)
    states: Dict[str, List[str]] = {}
    for row in sight.rows(STREAMS):
        states.setdefault(row["address"], []).append(row["state"])
    others = sorted(states.keys() - set(sight.desired["databases"].values()) - {""})
    elsewhere = f"; whoever streams from {listed(others)} is no server of the stack by its address" if others else ""
    found = []
    for name, address in _standbys(sight).items():
        if address in states:
            if "streaming" not in states[address]:
                found.append(f"{name} ({address}) is in {listed(states[address])}")
        elif name in sight.desired["readsFrom"]:
            found.append(f"{name} ({address}) is not connected: DB_B has to stream from this server itself{elsewhere}")
        else:
            found += [f"{name} ({address}) is not connected, and {why}" for why in _from_another(sight, name, address)]
    return few(found)


def _receiving(sight: Sight) -> List[str]:
    rows = sight.rows(RECEIVER)
    state = rows[0]["status"] if rows else "there is no WAL receiver"
    return [] if state == "streaming" else [f"it streams from nobody ({state})"]


def _from_another(sight: Sight, name: str, address: str) -> List[str]:
    """What keeps a replica that is not connected here from following by way of another one. Before pgleap's way in is there it is asked
    nothing: `preflight` looks at each replica itself."""
    cluster = sight.cluster
    if BEGIN not in (sight.text(cluster.hba_file) or ""):
        return []
    try:
        told = OtherSide(sight.server, name, address, cluster.port, cluster.program("psql")).read_json(RECEIVES)
    except Refusal as refused:
        return [f"cannot be asked whether it follows another replica: {refused.found}"]
    return [] if told["standby"] and told["receives"] else ["follows no other replica"]


def _lag(sight: Sight) -> List[str]:
    _before_the_seal(sight)
    late = _late(sight)
    for _ in range(LOOKS - 1):
        if not late:
            break
        sight.server.sleep(BETWEEN_SECONDS)
        with sight.again() as later:
            late = _late(later)
    return late


def _late(sight: Sight) -> List[str]:
    """Of DB_B alone: nobody waits for another one, and some are kept behind on purpose (recovery_min_apply_delay)."""
    rows = [row for row in sight.rows(STREAMS) if row["state"] == "streaming"]
    found = []
    for name, address in _standbys(sight).items():
        behind = [int(row["lag"] or 0) for row in rows if row["address"] == address]
        if name in sight.desired["readsFrom"] and behind and min(behind) > sight.desired["lagBytes"]:
            found.append(f"{name} is {amount(min(behind))} behind, {amount(sight.desired['lagBytes'])} is the limit")
    return found


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
    settings = sight.settings()
    limit = int(settings.get("max_slot_wal_keep_size", "-1")) * MB
    if limit < 0:
        return []
    data = int(sight.row("SELECT sum(pg_database_size(oid))::bigint AS bytes FROM pg_database")["bytes"])
    rate, need = wal_rate(sight), data
    if rate:
        need = min(data, max(int(settings["max_wal_size"]) * MB, int(PEAK * rate * data / COPY_BYTES_A_SECOND)))
    if limit >= need:
        return []
    return [
        f"max_slot_wal_keep_size is {amount(limit)}, the databases are {amount(data)}, and {amount(need)} may be written while they are copied"
    ]


def _sender_timeout(sight: Sight) -> List[str]:
    settings, found = sight.settings(), []
    for name in ("wal_sender_timeout", "wal_receiver_timeout"):
        value = int(settings[name])
        if value == 0:
            found.append(f"{name} is 0: a connection that died is never noticed")
        elif value < SHORT_SECONDS * 1000:
            found.append(f"{name} is {value} ms: a busy server would be taken for a dead one")
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
        sides=OLD_DATABASES,
        why="reads go to DB_B in the window, and to the others before it and on a way back: one that does not follow serves yesterday's",
        do="see the replica's log and its primary_conninfo; have DB_B stream from the old primary, or another replica be it (readsFrom); write"
        " the address that it streams from into pgleap:servers; one that is gone for good: servers.<name>.lost",
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
        do="ALTER SYSTEM SET max_slot_wal_keep_size = '<at least so much>' or -1, and reload; watch the disk",
        look=_slot_wal,
    ),
    Check(
        name=CheckName.SENDER_TIMEOUT,
        severity=Severity.WARN,
        sides=OLD_DATABASES,
        why="replication or a base backup would end, or hang, in the middle",
        do="set wal_sender_timeout and wal_receiver_timeout to 60s",
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
