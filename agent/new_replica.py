"""Verb `new-replica`: a replica of DB_A, on the new version, that stays when pgleap goes.

It streams by a slot and as a role of the fleet's own; clients get in by the same rules as on DB_A. Long: it runs in a transient
unit of its own (see detached).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from agent import access, base_backup, client_rules, configuration
from agent.base_backup import Source
from agent.cluster import OS_USER, from_desired
from agent.configuration import Carried
from agent.credentials import password_of
from agent.other_side import OtherSide
from agent.postgres import PASSWORD_FILE, Postgres, wait_until
from agent.replication import slot_of
from agent.report import Facts, Refusal
from agent.server import STATE_FOLDER, Server

# How far it came: `baseBackup` "under way" or "complete". Not there: the cluster, if there is one, is not pgleap's.
FILE = f"{STATE_FOLDER}/new-replica.json"


@dataclass(frozen=True)
class NewReplica:
    """One new replica and DB_A, whom it copies and follows as `user`. Limits in seconds and bytes."""

    name: str
    postgres: Postgres
    target: OtherSide
    user: str
    base_backup_seconds: float
    stream_seconds: float
    lag_bytes: int

    @classmethod
    def from_desired(cls, desired: Mapping[str, Any], server: Server) -> NewReplica:
        """As a desired state names it."""
        cluster = from_desired(desired["postgres"])
        limits = desired["limits"]
        return cls(
            name=desired["server"],
            postgres=Postgres(server, cluster, desired["address"]),
            target=OtherSide.from_desired(desired["target"], server, cluster.program("psql")),
            user=desired["user"],
            base_backup_seconds=float(limits["baseBackupSeconds"]),
            stream_seconds=float(limits["streamSeconds"]),
            lag_bytes=int(limits["lagBytes"]),
        )


def new_replica(desired: Mapping[str, Any], server: Server) -> Facts:
    """Have this server's PostgreSQL be a replica of DB_A that streams. Raises Refusal."""
    replica = NewReplica.from_desired(desired, server)
    cluster, changed = replica.postgres.cluster, []
    programs = [name for name in ("postgres", "pg_basebackup") if not server.path(cluster.program(name)).exists()]
    if programs:
        raise Refusal(
            f"PostgreSQL {cluster.version} installed in {cluster.bin}",
            f"no {', '.join(programs)}",
            "install its server package on this server",
        )
    _refuse_foreign(replica)
    carried = _read_target(replica)
    if server.read_json(FILE).get("baseBackup") != "complete" or _is_of_another(replica):
        changed += _copy(replica)
    written = _configure(replica, carried)
    if not replica.postgres.is_running():
        replica.postgres.start()
        changed.append(f"started PostgreSQL {cluster.version}")
    else:  # always: a run before this one may have died between writing its files and having them read
        replica.postgres.reload()
    changed += written
    lag = _wait_for_stream(replica)
    because = "it was not yet a replica of DB_A" if changed else "it streams from DB_A"
    return {"changed": changed, "because": because, "lag": lag}


def is_short(*_: object) -> bool:
    """A base backup may take hours."""
    return False


def goes_on_alone(*_: object) -> bool:
    """Names lead to it only once it streams, so `up` waits."""
    return False


def _refuse_foreign(replica: NewReplica) -> None:
    data = replica.postgres.server.path(replica.postgres.cluster.data)
    if not replica.postgres.server.read_json(FILE) and data.exists() and any(data.iterdir()):
        raise Refusal(
            f"{replica.name} an empty server, without a cluster in {replica.postgres.cluster.data}",
            "one that pgleap did not make",
            "see whose it is; if nobody's, take it away (Debian: pg_dropcluster --stop), then run `pulumi up` again",
        )


def _read_target(replica: NewReplica) -> Carried:
    """DB_A's settings and rules. It archives for itself; a replica does once it is promoted, so that belongs to it too."""
    settings = replica.target.read_json("SELECT coalesce(json_agg(s), '[]') FROM pgleap.settings() s;")
    rules = replica.target.read_json("SELECT row_to_json(r) FROM pgleap.rules() r;")
    carried = configuration.carry(settings, configuration.decoded(rules["hba"]), configuration.decoded(rules["ident"]))
    archive = {row["name"]: row["setting"] for row in settings if row["name"] in ("archive_mode", "archive_command")}
    return Carried({**carried.by_file, **archive}, carried.by_alter_system, carried.hba, carried.ident)


def _is_of_another(replica: NewReplica) -> bool:
    """Whether it is a copy of another cluster than DB_A is now: DB_A was built anew since. Both version's files say whose they are."""
    told = replica.target.ask("SELECT system_identifier FROM pg_control_system();")
    server, cluster = replica.postgres.server, replica.postgres.cluster
    lines = server.run(cluster.program("pg_controldata"), "-D", cluster.data, check=False).stdout.splitlines()
    mine = [line.split()[-1] for line in lines if line.startswith("Database system identifier")]
    return mine != [told]


def _copy(replica: NewReplica) -> List[str]:
    server, cluster, target = replica.postgres.server, replica.postgres.cluster, replica.target
    server.write_json(FILE, {"baseBackup": "under way"})
    replica.postgres.stop()
    base_backup.make_place(server, cluster)
    places = "SELECT coalesce(json_agg(l), '[]') FROM (SELECT pg_tablespace_location(oid) l FROM pg_tablespace) t WHERE l <> '';"
    for location in target.read_json(places):
        _empty_tablespace(replica, location)
    source = Source(target.name, target.address, target.port, replica.user, slot_of(replica.name))
    base_backup.take(server, cluster, source, replica.base_backup_seconds)
    server.write_durably(f"{cluster.data}/standby.signal", b"", mode=0o600, owner=server.owner(OS_USER))
    server.write_json(FILE, {"baseBackup": "complete"})
    return [f"took a base backup of {target.name}"]


def _empty_tablespace(replica: NewReplica, location: str) -> None:
    """Only what this version made there: the folder may hold a mount point or somebody else's files."""
    server = replica.postgres.server
    path = server.path(location)
    for made in path.glob(f"PG_{replica.postgres.cluster.version}_*") if path.exists() else ():
        shutil.rmtree(made)
    uid, gid = server.owner(OS_USER)
    server.run("install", "-d", "-m", "0700", "-o", str(uid), "-g", str(gid), str(path))


def _configure(replica: NewReplica, carried: Carried) -> List[str]:
    """Settings and rules; which files were written."""
    server, cluster = replica.postgres.server, replica.postgres.cluster
    archive = {name: value for name, value in carried.by_file.items() if name in ("archive_mode", "archive_command")}
    own = {"port": str(cluster.port), "hot_standby": "on", **archive}
    # In the file that only PostgreSQL reads, as pg_basebackup itself would write it: it holds a password, and it is to stay.
    auto = {"primary_conninfo": _conninfo(replica), "primary_slot_name": slot_of(replica.name)}
    changed = configuration.write(server, cluster, carried, own, auto)
    owner = server.owner(OS_USER)
    for file, rules in ((cluster.hba_file, carried.hba), (cluster.ident_file, carried.ident)):
        there = _text(server, file)
        ours, rest = client_rules.split(there)
        # Where a base backup brings the rules along (RPM), those of DB_A's own standbys come with them.
        wanted = ours + client_rules.without_standbys(rest if ours else client_rules.without_rules(rules))
        if there != wanted:
            server.write_durably(file, wanted.encode(errors="surrogateescape"), mode=0o640, owner=owner)
    changed += access.write_rules(server, cluster, [replica.target.address], sealed=False)
    base_backup.starts_with_the_machine(server, cluster)
    return changed


def _text(server: Server, file: str) -> str:
    path = server.path(file)
    return path.read_text(errors="surrogateescape") if path.exists() else ""


def _conninfo(replica: NewReplica) -> str:
    server, target = replica.postgres.server, replica.target
    password = password_of(replica.user, server.path(PASSWORD_FILE).read_text())
    if password is None:
        raise Refusal(
            f"the password of {replica.user} in {PASSWORD_FILE}",
            "none",
            "run `pulumi up` from its beginning: the step credentials on this server writes it",
        )
    parts: Dict[str, str] = {
        "host": target.address,
        "port": str(target.port),
        "user": replica.user,
        "password": password,
        "application_name": replica.name,
    }
    return " ".join(f"{key}='{_quoted(value)}'" for key, value in parts.items())


def _quoted(value: str) -> str:
    """As libpq reads it (documentation, "Keyword/Value Connection Strings"). Pure."""
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _wait_for_stream(replica: NewReplica) -> int:
    """Its lag in bytes, once it streams and that is under the limit."""
    lag: List[int] = []

    def look() -> Optional[str]:
        mine = replica.postgres.rows("SELECT status FROM pg_stat_wal_receiver")
        if not mine or mine[0]["status"] != "streaming":
            return f"its WAL receiver is {mine[0]['status'] if mine else 'not running'}"
        position = replica.target.ask("SELECT pg_current_wal_lsn();")
        behind = int(
            replica.postgres.value(f"greatest(pg_wal_lsn_diff('{position}', pg_last_wal_replay_lsn()), 0)::bigint")
        )
        lag[:] = [behind]
        return None if behind <= replica.lag_bytes else f"it is {behind} bytes behind"

    wait_until(
        replica.postgres.server,
        replica.stream_seconds,
        f"{replica.name} to stream from {replica.target.name}, at most {replica.lag_bytes} bytes behind",
        look,
        f"journalctl -u {replica.postgres.cluster.unit} on this server, and the log of {replica.target.name}",
    )
    return lag[0]


def take_away(postgres: Postgres) -> List[str]:
    """For `uninstall`: a cluster that pgleap made here, and that serves nobody. What was done."""
    server, cluster = postgres.server, postgres.cluster
    if not server.read_json(FILE):
        return []
    postgres.stop()
    if cluster.layout == "debian":
        server.run("pg_dropcluster", str(cluster.version), cluster.name, check=False)
    for folder in {cluster.data, cluster.config}:
        path = server.path(folder)
        if path.exists():
            shutil.rmtree(path)
    return [f"took away the cluster of PostgreSQL {cluster.version}"]
