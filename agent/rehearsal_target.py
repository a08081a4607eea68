"""Verb `rehearsal-target`: DB_A of a rehearsal, a standby of the old primary or the new-version primary that it was made into in earnest.

It is made by the same functions as a window's (standby, major_upgrade), but for two things: nothing is fenced, so it is promoted as
soon as it has what the old primary had when it was asked; and its statistics are waited for, to be measured.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Mapping, Optional

from agent import amounts, journal, major_upgrade, rehearsal, standby, statistics
from agent.postgres import wait_until
from agent.rehearsal import SLOT_ROW
from agent.report import Facts, Refusal, progress
from agent.server import Server
from agent.states import Target
from agent.target import UpgradeTarget, read_target


def rehearsal_target(desired: Mapping[str, Any], server: Server) -> Facts:
    """Bring DB_A to the state `database`, and tell what it took. Raises Refusal."""
    rehearsal.refuse_beside_window(server)
    own = journal.must_read(server)
    target = read_target(desired, server, rehearsal=True)
    facts = _standby(target) if Target(desired["database"]) is Target.STANDBY else _upgrade(target)
    journal.update(server, finished=True)
    return {**facts, "phase": own.phase.value, "round": own.round, "measured": _measured(target)}


def is_short(_: Mapping[str, Any], __: Server) -> bool:
    """Statistics may have to be gathered still."""
    return False


def goes_on_alone(_: Mapping[str, Any], __: Server) -> bool:
    """Whoever rehearses waits."""
    return False


def _standby(target: UpgradeTarget) -> Facts:
    if target.progress().get("baseBackup") == "complete" and not _has_slot(target):
        progress(
            f"its slot on {target.primary.name} is gone (it held too much back, or DB_A was upgraded): it is copied anew"
        )
        target.note(baseBackup="without its slot", measured=None)
    facts = standby.standby(target)
    _note(target, baseBackup=float(target.progress()["baseBackupSeconds"]), check=facts["pg_upgrade --check seconds"])
    return facts


def _has_slot(target: UpgradeTarget) -> bool:
    return target.primary.ask(f"SELECT count(*) {SLOT_ROW};") != "0"


def _upgrade(target: UpgradeTarget) -> Facts:
    came = target.progress().get("newCluster")
    changed: List[str] = []
    if came is None or target.progress().get("baseBackup") != "complete":
        raise Refusal("DB_A a checked standby of the old primary", "it is none", target.to_prepare)
    if came != "upgraded":
        if not target.is_promoted():
            _become_level(target)
            _count(target)
        seconds = major_upgrade.bring_to_new_version(target, lambda: major_upgrade.promote(target))
        _note(target, **seconds)
        changed.append(f"upgraded from {target.old.cluster.version} to {target.new.cluster.version}")
    elif not target.new.is_running():
        target.new.start()
        changed.append("started PostgreSQL")
    if "statistics" not in _noted(target):
        _note(target, **statistics.gather(target.new, target.jobs))
        changed.append("gathered statistics")
    return {"changed": changed, "because": "a rehearsal upgrades its copy; the old primary goes on serving"}


def _become_level(target: UpgradeTarget) -> None:
    """Replay what the old primary had when it was asked: the copy is of now, and its WAL does not have to be replayed by the promotion."""
    at = target.primary.ask("SELECT pg_current_wal_lsn();")
    if not target.old.is_running():
        target.old.start()

    def look() -> Optional[str]:
        row = target.old.row(
            f"SELECT pg_last_wal_replay_lsn()::text AS at, pg_last_wal_replay_lsn() >= '{at}'::pg_lsn AS there"
        )
        return None if row["there"] else f"it has replayed up to {row['at']}"

    wait_until(
        target.server,
        target.limits.replay,
        f"DB_A to replay {at}, where {target.primary.name} stood",
        look,
        f"see that it streams; if its slot is gone: {target.to_prepare}",
    )


def _count(target: UpgradeTarget) -> None:
    """How much there is, counted as everywhere (agent/amounts.py)."""
    progress("counting databases, relations and large objects")
    names = [row["datname"] for row in target.old.rows(amounts.DATABASES)]
    each = [target.old.row(amounts.IN_A_DATABASE, name) for name in names]
    relations = [int(row["relations"]) for row in each]
    size = target.old.row("SELECT sum(pg_database_size(oid))::bigint AS bytes FROM pg_database")
    _note(
        target,
        databases=len(names),
        relations=sum(relations),
        mostRelations=max(relations),
        largeObjects=sum(int(row["objects"]) for row in each),
        dataBytes=int(size["bytes"]),
        cores=len(os.sched_getaffinity(0)),
        memoryBytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def _noted(target: UpgradeTarget) -> Dict[str, float]:
    found: Dict[str, float] = json.loads(target.progress().get("measured") or "{}")
    return found


def _note(target: UpgradeTarget, **measured: float) -> None:
    target.note(measured=json.dumps({**_noted(target), **measured}, sort_keys=True))


def _measured(target: UpgradeTarget) -> Dict[str, Dict[str, float]]:
    """Seconds by act, and counts: what was measured on this copy, the interrupted acts of an earlier run left out."""
    noted = _noted(target)
    acts = ("baseBackup", "check", "promote", "stop", "pg_upgrade", "start", "firstStatistics", "statistics")
    return {
        "seconds": {name: noted[name] for name in acts if name in noted},
        "counts": {name: value for name, value in noted.items() if name not in acts},
    }
