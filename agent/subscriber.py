"""The old primary's half of the reverse stream: it subscribes to DB_A in every database, and tells how far it has come.

The subscriptions belong to pgleap's local role, a superuser without a password whom pg_hba lets in from nowhere but this
server's root: up to version 15 an apply worker needs no less (PostgreSQL documentation, "Logical Replication: Security").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from agent import coverage, replica_triggers, short_locks
from agent.client_rules import READER
from agent.journal import Fence
from agent.other_side import OtherSide
from agent.own_names import PUBLICATION
from agent.postgres import PASSWORD_FILE, Postgres
from agent.publisher import slot_of
from agent.qualified import connection_string

SUBSCRIPTION = PUBLICATION

# Databases asked side by side: it is little work in each, and writes may be refused meanwhile.
AT_ONCE = 8
SUBSCRIPTIONS = f"""SELECT d.datname AS database, s.subenabled AS enabled, s.subconninfo AS conninfo, s.oid::bigint AS oid,
  w.pid IS NOT NULL AS works, w.received_lsn::text AS received,
  (SELECT o.remote_lsn::text FROM pg_replication_origin_status o WHERE o.external_id = 'pg_' || s.oid) AS applied
FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
LEFT JOIN pg_stat_subscription w ON w.subid = s.oid AND w.relid IS NULL AND w.pid IS NOT NULL
WHERE s.subname = '{SUBSCRIPTION}' ORDER BY d.oid"""

# Seen on DB_A, which everybody may read there: what a subscription has confirmed is applied and on the old primary's disk.
SLOTS = f"""SELECT coalesce(json_agg(json_build_object('slot', slot_name, 'active', active, 'confirmed', confirmed_flush_lsn::text,
  'behindBytes', pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
  'status', wal_status, 'safeBytes', safe_wal_size)), '[]')
FROM pg_replication_slots WHERE slot_name ~ '^{PUBLICATION}_';"""


@dataclass(frozen=True)
class Behind:
    """What is not applied yet, in sentences. `stopped`: some of it will not come by waiting; `gone`: nor by anything else, for DB_A has no
    slot any more that holds it, or is not what was followed."""

    found: str
    stopped: bool
    gone: bool


@dataclass(frozen=True)
class Subscriber:
    """The old primary as it follows DB_A. `jobs`: databases side by side."""

    postgres: Postgres
    target: OtherSide
    jobs: int

    def conninfo(self, database: str) -> str:
        """How the apply worker reaches DB_A; the password is in a file, and in no catalog."""
        passfile = self.postgres.server.path(PASSWORD_FILE)
        return (
            f"host={self.target.address} port={self.target.port} user={READER} {connection_string(database)} passfile={passfile}"
            " connect_timeout=5"
        )

    def found(self) -> Dict[str, Dict[str, Any]]:
        """The subscriptions there are, by database."""
        return {row["database"]: row for row in self.postgres.rows(SUBSCRIPTIONS)}

    def slots(self) -> Dict[str, Dict[str, Any]]:
        """DB_A's slots by name, live. Raises Refusal if DB_A does not answer."""
        return {row["slot"]: row for row in self.target.read_json(SLOTS)}

    def by_database(self) -> List[Tuple[str, Optional[Dict[str, Any]], Optional[Dict[str, Any]]]]:
        """Each database with its slot on DB_A and its subscription here, None where there is none. Raises Refusal if DB_A does not answer."""
        there, slots = self.found(), self.slots()
        return [(one, slots.get(slot_of(one)), there.get(one)) for one in coverage.databases(self.postgres)]

    def subscribe(self, up_to: Optional[Fence] = None) -> List[str]:
        """Have every database follow, one that stopped too; with `up_to` those that have not reached it. What was done."""
        there, slots = self.found(), self.slots()

        def is_wanted(database: str) -> bool:
            slot = slots.get(slot_of(database))
            return slot is not None and not (up_to is not None and reached(slot["confirmed"], up_to.lsn))

        wanted = [one for one in coverage.databases(self.postgres) if is_wanted(one)]
        quiet = replica_triggers.keep_quiet(self.postgres, wanted, self.jobs)
        make = self.postgres.server.side_by_side
        made = make(lambda database: self._subscribe(database, there.get(database)), wanted, self.jobs)
        return [*quiet, *(sentence for sentence in made if sentence)]

    def _subscribe(self, database: str, there: Optional[Mapping[str, Any]]) -> str:
        if there is not None:
            if there["enabled"]:
                return ""
            self.postgres.execute(f"ALTER SUBSCRIPTION {SUBSCRIPTION} ENABLE;", database, writing=True)
            return f"{database} follows DB_A again"
        # From 15 on it stops at a row that it cannot apply; before, it tries again and again.
        stops = ", disable_on_error = true" if self.postgres.cluster.version >= 15 else ""
        conninfo = self.conninfo(database).replace("'", "''")
        self.postgres.execute(
            f"CREATE SUBSCRIPTION {SUBSCRIPTION} CONNECTION '{conninfo}' PUBLICATION {PUBLICATION}"
            f" WITH (create_slot = false, slot_name = '{slot_of(database)}', copy_data = false{stops});",
            database,
            writing=True,
        )
        return f"{database} follows DB_A"

    def disable(self) -> None:
        """Nothing is applied any more."""
        enabled = [database for database, row in self.found().items() if row["enabled"]]
        disable = f"ALTER SUBSCRIPTION {SUBSCRIPTION} DISABLE;"
        self.postgres.server.side_by_side(
            lambda one: self.postgres.execute(disable, one, writing=True), enabled, max(self.jobs, AT_ONCE)
        )

    def drop(self) -> List[str]:
        """Take the subscriptions away; DB_A's slots are DB_A's to drop, and it may not even answer. What was done."""
        changed = []
        for database in self.found():
            # Up to some minor versions of 2025 DROP locks the catalog of all subscriptions, which a dump holds for as long as it takes.
            short_locks.execute(
                self.postgres,
                f"ALTER SUBSCRIPTION {SUBSCRIPTION} DISABLE; ALTER SUBSCRIPTION {SUBSCRIPTION} SET (slot_name = NONE);"
                f" DROP SUBSCRIPTION {SUBSCRIPTION};",
                database,
                writing=True,
            )
            changed.append(f"{database} follows DB_A no more")
        return changed

    def behind(self, fence: Fence) -> Optional[Behind]:
        """None if everything that DB_A wrote up to `fence` is applied here, in every database; else what is not. A position that is
        reached is enough: the subscription may have been disabled since."""
        wrong, stopped, gone = [], False, False
        for database, slot, mine in self.by_database():
            if slot is None:
                wrong.append(f"{database} has no slot on DB_A")
                gone = True
            elif not reached(slot["confirmed"], fence.lsn):
                wrong.append(f"{database} has applied up to {slot['confirmed']}")
                gone = gone or slot["status"] == "lost"
                stopped = stopped or mine is None or not mine["enabled"]
            elif mine is not None and mine["applied"] and number(mine["applied"]) > number(fence.lsn):
                # What DB_A took since has positions that were applied before: its walsender passed over it.
                wrong.append(
                    f"{database} has applied up to {mine['applied']}, which DB_A has not come to: DB_A was restored from an older image"
                )
                gone = True
        return Behind("; ".join(wrong), stopped or gone, gone) if wrong else None


def reached(position: Optional[str], wanted: str) -> bool:
    """Whether a WAL position is at or after another. Pure."""
    return position is not None and number(position) >= number(wanted)


def number(position: str) -> int:
    """A WAL position as bytes. Pure."""
    high, _, low = position.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
