"""What the parts of DB_A's upgrade share: its two clusters, the old primary, and how far the making of them came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

from agent import access, advice, journal
from agent.client_rules import LOCAL_ROLE, READER, REHEARSAL
from agent.cluster import Cluster, from_desired
from agent.configuration import Carried
from agent.journal import Authority
from agent.other_side import OtherSide
from agent.own_names import SLOT
from agent.postgres import Postgres
from agent.report import Refusal
from agent.server import STATE_FOLDER, Server
from agent.states import Phase

# A copy that is promoted beside the primary that it was made from must not act in its place: take its publishers' changes, work on its
# archive; nor hold its vacuum back.
OF_A_REHEARSAL = {
    "max_logical_replication_workers": "0",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "hot_standby_feedback": "off",
}
TARGET_FILE = f"{STATE_FOLDER}/target.json"
# Slots and senders beside those for databases and replicas: a base backup takes two, and somebody may look.
SPARE_SLOTS = 4


@dataclass(frozen=True)
class Limits:
    """Deadlines in seconds."""

    base_backup: float
    stream: float
    replay: float
    upgrade: float


@dataclass(frozen=True)
class Reverse:
    """The stream back: tables that the stack leaves out (`database.schema.table`), what DB_A keeps of WAL for it ("" for all), and
    how many replicas of its own DB_A is to have room for."""

    left_out: Sequence[str]
    keep: str
    replicas: int

    @classmethod
    def from_desired(cls, reverse: Mapping[str, Any]) -> Reverse:
        """As `reverse` of a desired state has it."""
        return cls(reverse["leaveOut"], reverse.get("slotWalKeepSize", ""), int(reverse["replicas"]))

    def settings(self, carried: Mapping[str, str], databases: int) -> Dict[str, str]:
        """What DB_A needs to lead it: a slot and a sender for each database, and room for replicas. Pure."""
        needed = databases + self.replicas + SPARE_SLOTS
        most = {name: max(needed, int(carried.get(name, 10))) for name in ("max_replication_slots", "max_wal_senders")}
        keep = {"max_slot_wal_keep_size": self.keep} if self.keep else {}
        return {"wal_level": "logical", **{name: str(value) for name, value in most.items()}, **keep}


@dataclass(frozen=True)
class UpgradeTarget:
    """DB_A: `old` and `new` cluster, `primary` the old primary as the role pgleap sees it; `reverse` is None if the stack wants no
    stream back. That of a `rehearsal` is made and thrown away beside a primary that goes on: nobody asks it, and it has no role of
    pgleap's own, so that root comes in as the superuser."""

    server: Server
    name: str
    old: Postgres
    new: Postgres
    primary: OtherSide
    old_replicas: Mapping[str, str]
    transfer_mode: str
    jobs: int
    archive_command: Optional[str]
    limits: Limits
    reverse: Optional[Reverse]
    rehearsal: bool = False

    @property
    def slot(self) -> str:
        """Its slot on the old primary."""
        return REHEARSAL if self.rehearsal else SLOT

    @property
    def own_settings(self) -> Dict[str, str]:
        """What DB_A has otherwise than the old primary, in both versions."""
        return OF_A_REHEARSAL if self.rehearsal else {}

    @property
    def to_prepare(self) -> str:
        """What to do where DB_A cannot be brought further."""
        own = journal.must_read(self.server)
        round_ = advice.higher(own.round)
        if self.rehearsal:
            return f"begin anew: {advice.to(Phase.PREPARE, round_)}"
        if self.primary.lost:
            return "promote an old replica by your own means: the old primary is lost, and DB_A cannot take its place"
        if own.phase is Phase.CUTOVER and self._is_released():
            return f"writes come back with: {advice.back_over_upgrade(round_)}"
        return f"writes come back with: {advice.to(Phase.PREPARE, round_)}"

    def _is_released(self) -> bool:
        """Whether the old primary has released its authority, as far as it can be asked now."""
        try:
            return journal.from_json(self.primary.journal()).authority is Authority.RELEASED
        except Refusal:
            return False

    def progress(self) -> Dict[str, Any]:
        """How far it came: `baseBackup` "under way" or "complete"; `newCluster` "under way", "fresh", "used" (pg_upgrade
        began), "filled" (it succeeded) or "upgraded"; `folder` is where pg_upgrade's last run left its logs; `madeFolders` as JSON."""
        return self.server.read_json(TARGET_FILE)

    def made_folders(self) -> List[str]:
        """The tablespaces' folders, and those above them, that were not there before pgleap made them; the inner ones first."""
        folders: List[str] = json.loads(self.progress().get("madeFolders", "[]"))
        return folders

    def note(self, **came: Optional[str]) -> None:
        self.server.write_json(TARGET_FILE, {**self.progress(), **came})

    def write_sealed_rules(self, cluster: Cluster, carried: Carried) -> None:
        """The old primary's rule files, with pgleap's refusing ones on top."""
        # As the superuser only `pg_upgrade --check` comes in, on the running standby; pg_upgrade brings rules of its own.
        is_standby = cluster is self.old.cluster
        readers = [] if self.rehearsal else [self.primary.address]
        access.write_rules(
            self.server,
            cluster,
            readers,
            sealed=True,
            on_target=is_standby,
            root_as_superuser=self.rehearsal,
            instead={cluster.hba_file: carried.hba, cluster.ident_file: carried.ident},
        )

    def is_promoted(self) -> bool:
        """Whether the old cluster has left recovery: promotion takes standby.signal away."""
        return not self.server.path(f"{self.old.cluster.data}/standby.signal").exists()

    def is_linked(self) -> bool:
        """Whether pg_upgrade went past the point from which the old cluster cannot be started any more (its documentation, step 16)."""
        return self.server.path(f"{self.old.cluster.data}/global/pg_control.old").exists()


def read_target(desired: Mapping[str, Any], server: Server, rehearsal: bool = False) -> UpgradeTarget:
    """DB_A as a desired state names it. Raises Refusal if a version's programs are not installed."""
    old, new = from_desired(desired["postgres"]), from_desired(desired["newPostgres"])
    _refuse_missing(server, old, ("postgres", "pg_basebackup", "pg_controldata", "psql"))
    _refuse_missing(server, new, ("postgres", "pg_upgrade", "initdb", "psql", "vacuumdb"))
    address, limits = desired["address"], desired["limits"]

    def reached(cluster: Cluster) -> Postgres:
        return Postgres(server, cluster, address, cluster.superuser if rehearsal else LOCAL_ROLE)

    return UpgradeTarget(
        server=server,
        name=desired["server"],
        old=reached(old),
        new=reached(new),
        primary=OtherSide.from_desired(
            desired["primary"], server, old.program("psql"), REHEARSAL if rehearsal else READER
        ),
        old_replicas=desired["oldReplicas"],
        transfer_mode=desired["transferMode"],
        jobs=int(desired["jobs"]),
        archive_command=desired.get("archiveCommand"),
        limits=Limits(
            base_backup=float(limits["baseBackupSeconds"]),
            stream=float(limits["streamSeconds"]),
            replay=float(limits["replaySeconds"]),
            upgrade=float(limits["upgradeSeconds"]),
        ),
        reverse=Reverse.from_desired(desired["reverse"]) if desired.get("reverse") else None,
        rehearsal=rehearsal,
    )


def _refuse_missing(server: Server, cluster: Cluster, programs: Sequence[str]) -> None:
    missing = [name for name in programs if not server.path(cluster.program(name)).exists()]
    if missing:
        package = (
            f"apt-get install postgresql-{cluster.version}"
            if cluster.layout == "debian"
            else f"dnf install postgresql{cluster.version}-server"
        )
        raise Refusal(
            f"PostgreSQL {cluster.version} installed in {cluster.bin}",
            f"no {', '.join(missing)}",
            f"on this server: {package}",
        )
