"""PostgreSQL on the lab's servers: a primary and its streaming replicas, as a fleet in use has them.

Debian's layout, settings in all three places that they can be in, checksums, a slot for each replica.
"""

import re
import secrets
import shlex
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rehearsal.data.fill import TABLESPACE
from rehearsal.lab.fleet import NETWORK, OLD_VERSION
from rehearsal.lab.hosts import Host
from rehearsal.lab.lab import Lab
from rehearsal.lab.place import LabError, Place

SUPERUSER = "postgres"
PORT = 5432
CLUSTER = "main"
REPLICATION_ROLE = "replicator"
UNIT = f"postgresql@{OLD_VERSION}-{CLUSTER}"
DATA = f"/var/lib/postgresql/{OLD_VERSION}/{CLUSTER}"
CONFIGURATION = f"/etc/postgresql/{OLD_VERSION}/{CLUSTER}"

_STREAMING_SECONDS = 60.0

# Appended to Debian's file, as a hand would. What the way back needs can only be changed by a restart, so it is there
# from the start. PostgreSQL 17 refuses to start when it finds old_snapshot_threshold.
_POSTGRESQL_CONF = """
# The lab's own settings.
include_dir = 'conf.d'
listen_addresses = '*'
shared_buffers = 128MB
wal_level = logical
hot_standby_feedback = on
old_snapshot_threshold = 6h
log_checkpoints = on
"""
# In a file of its own in conf.d, as Debian's packages and people do.
_STATEMENTS_CONF = """shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.max = 2000
"""
# trace_recovery_messages, too, is gone in 17.
_BY_ALTER_SYSTEM = {
    "work_mem": "8MB",
    "random_page_cost": "1.1",
    "log_min_duration_statement": "2s",
    "trace_recovery_messages": "log",
}
_PG_HBA_CONF = f"""# TYPE  DATABASE        USER            ADDRESS                 METHOD
local   all             {SUPERUSER}                                peer
local   all             all                                     peer
host    all             all             127.0.0.1/32            scram-sha-256
# The servers of the application.
host    all             all             {NETWORK}            scram-sha-256
host    replication     {REPLICATION_ROLE}      {NETWORK}            scram-sha-256
"""


def make_primary(lab: Lab, databases: int = 4, connections: int = 0) -> None:
    """The old primary's server gets an empty primary that takes clients of the lab's network, and the folder that `fill` wants.

    `databases` is how many are to come: a way back after cutover takes a worker and a slot for each. `connections` are those that
    clients keep. Raises LabError, for instance when there is a cluster already.
    """
    host = lab.host(lab.fleet.primary.name)
    locale = ("--locale", "en_US.UTF-8", "--encoding", "UTF8")
    host.run(["pg_createcluster", *locale, str(OLD_VERSION), CLUSTER, "--", "--data-checksums"])
    _configure(host, databases, connections)
    host.run(["install", "-d", "-m", "0700", "-o", SUPERUSER, "-g", SUPERUSER, TABLESPACE])
    host.run(["systemctl", "start", UNIT])
    settings = "".join(f"ALTER SYSTEM SET {name} = '{value}';\n" for name, value in _BY_ALTER_SYSTEM.items())
    password = replication_password(lab.place)
    psql(
        host,
        "postgres",
        f"{settings}SELECT pg_reload_conf();\nCREATE EXTENSION pg_stat_statements;\n"
        f"CREATE ROLE {REPLICATION_ROLE} LOGIN REPLICATION PASSWORD '{password}';\n",
    )


def make_replicas(lab: Lab) -> None:
    """The old replicas get a base backup of the primary, all at once, and stream from it, each through a slot with its name.

    Raises LabError when they do not stream within 60 seconds of their start, or have a cluster already.
    """
    replicas = lab.fleet.replicas
    # Before the first backup's checkpoint: it could remove WAL that a slot made at that moment has just reserved.
    for server in replicas:
        reserve = f"SELECT pg_create_physical_replication_slot('{slot(server.name)}', true)"
        psql(lab.host(lab.fleet.primary.name), "postgres", reserve)
    with ThreadPoolExecutor(len(replicas)) as pool:
        list(pool.map(lambda server: _make_replica(lab, lab.host(server.name)), replicas))
    names = ", ".join(f"'{server.name}'" for server in replicas)
    streaming = f"SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name IN ({names})"
    deadline = time.monotonic() + _STREAMING_SECONDS
    while (found := int(psql(lab.host(lab.fleet.primary.name), "postgres", streaming))) < len(replicas):
        if time.monotonic() > deadline:
            raise LabError(
                f"Expected {len(replicas)} replicas to stream within {_STREAMING_SECONDS:.0f} s, found {found}: "
                f"see `journalctl -u {UNIT}` and /var/log/postgresql on {names}."
            )
        time.sleep(0.1)


def psql(host: Host, database: str, text: str) -> str:
    """What psql prints for `text`, run on the host as the superuser: unaligned, tuples only, stopping at an error."""
    argv = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", conninfo(database)]
    return host.run(argv, user=SUPERUSER, stdin=text)


def conninfo(database: str) -> str:
    """How psql is told of a database, whose name could be taken for a connection string (`a=b`); it speaks UTF-8, whatever the database sets."""
    quoted = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{quoted}' client_encoding=UTF8"


def psql_on(host: Host, database: str, text: str) -> str:
    """The same, going on after an error: what psql prints, errors included, each with the number of its statement's last line."""
    command = f"psql -X -q -A -t -d {shlex.quote(conninfo(database))} -f - 2>&1"
    return host.run(["sh", "-c", command], user=SUPERUSER, stdin=text)


def pgbench(host: Host, arguments: Sequence[str]) -> str:
    """What pgbench, run on the host as the superuser, prints."""
    return host.run(["pgbench", *arguments], user=SUPERUSER)


def _make_replica(lab: Lab, host: Host) -> None:
    passwords = f"*:{PORT}:*:{REPLICATION_ROLE}:{replication_password(lab.place)}\n"
    host.write("/var/lib/postgresql/.pgpass", passwords, mode=0o600, owner=SUPERUSER)
    upstream = f"host={lab.fleet.primary.address} port={PORT} user={REPLICATION_ROLE} application_name={host.name}"
    backup = ["-d", upstream, "-D", DATA, "-X", "stream", "-S", slot(host.name), "-R", "-c", "fast"]
    host.run([f"/usr/lib/postgresql/{OLD_VERSION}/bin/pg_basebackup", *backup], user=SUPERUSER)
    # Debian's configuration is in no base backup.
    primary = lab.host(lab.fleet.primary.name)
    for path in primary.run(["find", CONFIGURATION, "-type", "f"]).split():
        host.write(path, primary.run(["cat", path]), mode=0o640)
    host.run(["chown", "-R", f"{SUPERUSER}:{SUPERUSER}", "/etc/postgresql"])
    host.run(["systemctl", "start", UNIT])


def slot(server: str) -> str:
    """The replication slot of a server: its name, as far as a slot's may be one (lower case letters, digits, underscores)."""
    return server if re.fullmatch("[a-z0-9_]+", server) else re.sub("[^a-z0-9]", "_", server.lower())


def limits(databases: int, connections: int) -> dict[str, int]:
    """What can only be changed by a restart, for so many databases and clients' connections. Pure."""
    return {
        "max_connections": max(200, connections + 60),
        "max_wal_senders": max(20, databases + 16),
        "max_replication_slots": max(20, databases + 16),
        "max_logical_replication_workers": max(12, databases + 8),
        "max_worker_processes": max(24, databases + 20),
    }


def _configure(host: Host, databases: int, connections: int) -> None:
    found = "".join(f"{name} = {value}\n" for name, value in limits(databases, connections).items())
    host.run(["tee", "--append", f"{CONFIGURATION}/postgresql.conf"], stdin=_POSTGRESQL_CONF + found)
    host.write(f"{CONFIGURATION}/conf.d/statements.conf", _STATEMENTS_CONF, owner=SUPERUSER)
    host.write(f"{CONFIGURATION}/pg_hba.conf", _PG_HBA_CONF, mode=0o640, owner=SUPERUSER)


def replication_password(place: Place) -> str:
    """Made up once a lab; kept for the replicas that are made later."""
    kept = place.root / "replication-password"
    if not kept.exists():
        kept.touch(0o600)
        kept.write_text(secrets.token_hex(16))
    return kept.read_text()
