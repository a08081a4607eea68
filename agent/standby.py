"""DB_A as a standby of the old primary: base backup, slot, configuration carried over, and the new version's cluster made and
checked beside it. Sealed from its first start: between promotion and stop it would be an old-version primary."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Dict, List, Optional

from agent import advice, authority, base_backup, configuration, journal, new_cluster, pg_upgrade, trial
from agent.base_backup import Source
from agent.cluster import OS_USER
from agent.configuration import Carried
from agent.journal import Authority
from agent.postgres import PASSWORD_FILE, Postgres, wait_until
from agent.report import Facts, Refusal
from agent.states import Phase
from agent.subscriber import SUBSCRIPTION
from agent.target import UpgradeTarget

# pg_controldata's names -> the settings'.
NO_LOWER = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}


def standby(target: UpgradeTarget) -> Facts:
    """Have DB_A stream from the old primary, configured as the old primary is right now, with the new version checked against it.
    Raises Refusal."""
    changed: List[str] = []
    carried = configuration.read_old_primary(target.primary)
    before = configuration.kept(target.server)
    if _must_rebuild(target):
        changed += _rebuild(target, carried)
    if not target.old.is_running():
        _configure(target, carried)
        target.old.start()
        changed.append(f"started PostgreSQL {target.old.cluster.version}")
    elif before != carried:
        changed.append(_configure_again(target, before, carried))
    _wait_for_stream(target)
    if target.progress().get("newCluster") != "fresh":
        new_cluster.make(target, carried)
        changed.append(f"made the cluster of PostgreSQL {target.new.cluster.version}")
    elif before != carried:
        new_cluster.configure(target, carried)
    if configuration.kept(target.server) != carried:
        configuration.keep(target.server, carried)
    because = "DB_A was not yet a checked standby" if changed else "DB_A streams, and is checked"
    facts: Facts = {
        "changed": changed,
        "because": because,
        "settings dropped for the new version": json.loads(target.progress().get("dropped", "{}")),
    }
    if not changed and journal.must_read(target.server).phase is Phase.READONLY:
        return facts  # `ready` has checked this very standby a moment ago
    checked = pg_upgrade.check_standby(target.server, target.old, target.new.cluster, target.transfer_mode)
    tried = trial.hold(target.server, target.old, target.new.cluster, target.jobs, target.limits.upgrade)
    return {**facts, **checked, **tried}


def _configure_again(target: UpgradeTarget, before: Optional[Carried], carried: Carried) -> str:
    """The old primary runs with another configuration than DB_A was given. DB_A serves nobody, so it may be started again for it: some
    settings count from a start on, and a standby with fewer connections than its primary stops replaying."""
    _configure(target, carried)
    target.old.stop()
    target.old.start()
    what = "; ".join(configuration.differences(before, carried)) if before is not None else "all of it"
    return f"carried the old primary's configuration again ({what})"


def _must_rebuild(target: UpgradeTarget) -> bool:
    """Whether a base backup is needed. A cluster that is not pgleap's is refused: it is not ours to take away."""
    came = target.progress()
    data = target.server.path(target.old.cluster.data)
    if not came and data.exists() and any(data.iterdir()):
        raise Refusal(
            f"DB_A an empty server, without a cluster in {target.old.cluster.data}",
            "one that pgleap did not make",
            "see whose it is; if nobody's, take it away (Debian: pg_dropcluster --stop), then run `pulumi up` again",
        )
    own = journal.must_read(target.server)
    return (
        own.upgraded_at is not None
        or came.get("baseBackup") != "complete"
        or target.is_promoted()
        or target.is_linked()
        # It goes with a DB_A that is called lost. What the primary wrote since may be gone, and one that comes back could wait for ever.
        or not _has_slot(target)
    )


def _has_slot(target: UpgradeTarget) -> bool:
    return target.primary.ask(f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{target.slot}';") != "0"


def _rebuild(target: UpgradeTarget, carried: Carried) -> List[str]:
    """Take away what DB_A was, and copy the old primary anew."""
    server, old = target.server, target.old.cluster
    if journal.must_read(server).authority is Authority.SEALED:
        # It had opened. What it took is here alone until the old primary says that it has it all, or that it was given up.
        authority.refuse_unless_it_holds(journal.from_json(target.primary.journal()))
    if target.primary.ask(f"SELECT count(*) FROM pg_subscription WHERE subname = '{SUBSCRIPTION}';") != "0":
        raise Refusal(
            "the stream back to have ended, before DB_A is copied from the old primary",
            "the old primary still has its subscriptions, and the copy would have them too",
            f"go to prepare from its beginning: {advice.to(Phase.PREPARE, advice.higher(journal.must_read(server).round))}",
        )
    new_cluster.remove(target)
    target.note(baseBackup="under way", newCluster=None)
    configuration.keep(server, None)
    if target.old.is_running() or server.path(old.data).exists():
        target.old.stop()
    base_backup.make_place(server, old)
    for location in json.loads(
        target.primary.ask(
            "SELECT coalesce(json_agg(l), '[]') FROM (SELECT pg_tablespace_location(oid) l FROM pg_tablespace) t WHERE l <> '';"
        )
    ):
        _empty_tablespace(target, location)
    # From here on DB_A is no longer what it was upgraded to.
    journal.update(server, upgraded_at=None, authority=Authority.NONE, fence=None, alone=False, seen=None)
    began = server.monotonic()
    _base_backup(target)
    seconds = server.monotonic() - began
    _configure(target, carried)
    target.note(baseBackup="complete", baseBackupSeconds=f"{seconds:.2f}")
    return ["took a base backup of the old primary"]


def _base_backup(target: UpgradeTarget) -> None:
    server, old, primary = target.server, target.old.cluster, target.primary
    primary.ask(
        f"SELECT pg_create_physical_replication_slot('{target.slot}', true)"
        f" WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{target.slot}');"
    )
    source = Source(primary.name, primary.address, primary.port, primary.role, target.slot)
    base_backup.take(server, old, source, target.limits.base_backup)


def _configure(target: UpgradeTarget, carried: Carried) -> None:
    """Settings and sealed rules of the standby, and that it is one."""
    server, old, primary = target.server, target.old.cluster, target.primary
    own = {
        "port": str(old.port),
        "primary_conninfo": f"host={primary.address} port={primary.port} user={primary.role}"
        f" passfile={server.place(PASSWORD_FILE)} application_name={target.name}",
        "primary_slot_name": target.slot,
        "hot_standby": "on",
        **floors(target.old, carried),
        **target.own_settings,
    }
    # Where configuration lies among the data the base backup brings postgresql.conf along.
    configuration.write(server, old, carried, own, auto={}, main_is_a_copy=old.config == old.data)
    target.write_sealed_rules(old, carried)
    server.write_durably(f"{old.data}/standby.signal", b"", mode=0o600, owner=server.owner(OS_USER))
    base_backup.starts_with_the_machine(server, old)


def floors(old: Postgres, carried: Carried) -> Dict[str, str]:
    """What a standby must have no lower than its primary, and the primary has lowered since: until DB_A has replayed that, it does not
    start with less (documentation, "Hot Standby", "Administrator's Overview")."""
    told = old.server.run(old.cluster.program("pg_controldata"), "-D", old.cluster.data, check=False).stdout
    found = {}
    for line in told.splitlines():
        shown, _, least = line.partition(" setting:")
        name = NO_LOWER.get(shown, "")
        wanted = carried.by_alter_system.get(name, carried.by_file.get(name, "0"))
        if name and int(wanted) < int(least):
            found[name] = least.strip()
    return found


def _wait_for_stream(target: UpgradeTarget) -> None:
    def look() -> Optional[str]:
        if not target.old.in_recovery():
            return "it is not in recovery"
        rows = target.old.rows("SELECT status FROM pg_stat_wal_receiver")
        return (
            None
            if rows and rows[0]["status"] == "streaming"
            else f"its WAL receiver is {rows[0]['status'] if rows else 'not running'}"
        )

    wait_until(
        target.server,
        target.limits.stream,
        f"DB_A to stream from {target.primary.name}",
        look,
        f"journalctl -u {target.old.cluster.unit} on DB_A, and the log of {target.primary.name}",
    )


def _empty_tablespace(target: UpgradeTarget, location: str) -> None:
    """Only what the two versions made there: the folder may hold a mount point or somebody else's files."""
    path = target.server.path(location)
    missing = [
        str(folder)
        for folder in (Path(location), *Path(location).parents)
        if not target.server.path(str(folder)).exists()
    ]
    if missing:
        target.note(madeFolders=json.dumps([*target.made_folders(), *missing]))
    for cluster in (target.old.cluster, target.new.cluster):
        for made in path.glob(f"PG_{cluster.version}_*") if path.exists() else ():
            shutil.rmtree(made)
    uid, gid = target.server.owner(OS_USER)
    target.server.run("install", "-d", "-m", "0700", "-o", str(uid), "-g", str(gid), str(path))
