"""The programs that the agent runs, all but psql, by what they do to the simulated world. An unknown one is a test's error.

To extend it: add a function of (machine, call) to PROGRAMS under the program's name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.server import Completed
from tests.model import passwords, trial
from tests.model.clients import leads
from tests.model.cluster import CLIENT_KINDS, Cluster
from tests.model.configuration import HBA
from tests.model.psql import password_in, psql
from tests.model.systemd import systemctl, systemd_run

if TYPE_CHECKING:
    from tests.model.machine import Machine

KNOWN_TO_17 = (
    "work_mem", "archive_mode", "archive_command", "autovacuum", "listen_addresses", "max_wal_senders", "port", "wal_level",
)  # fmt: skip


class Call(NamedTuple):
    """How a program was called: `user` is the operating system's."""

    argv: tuple[str, ...]
    user: str
    stdin: str
    environment: dict[str, str]

    def option(self, name: str) -> str:
        """The value of `--name value` or `--name=value`."""
        for here, argument in enumerate(self.argv):
            if argument == f"--{name}":
                return self.argv[here + 1]
            if argument.startswith(f"--{name}="):
                return argument.partition("=")[2]
        raise AssertionError(f"no --{name} in {self.argv}")


def run(machine: Machine, call: Call) -> Completed:
    name = call.argv[0].rpartition("/")[2]
    assert name in PROGRAMS, f"the model does not know the program: {call.argv}"
    return PROGRAMS[name](machine, call)


def done(text: str = "") -> Completed:
    return Completed(0, text, "")


def failed(error: str) -> Completed:
    return Completed(1, "", error)


def _getent(machine: Machine, call: Call) -> Completed:
    address = leads(machine, call.argv[-1])
    return done(f"{address} STREAM {call.argv[-1]}\n") if address else Completed(2, "", "")


def _shell(machine: Machine, call: Call) -> Completed:
    assert call.argv[-1] == "systemctl reload myapp", call.argv
    return done()


def _kill(machine: Machine, call: Call) -> Completed:
    signal, pid = call.argv[1], int(call.argv[2])
    if signal == "-QUIT":
        return done() if trial.end(machine, pid) else failed("no such process")
    for cluster in machine.running():
        if signal == "-HUP" and cluster.pid == pid:
            with machine.effect("had the rules read again"):
                machine.reload(cluster)
            return done()
        for session in cluster.sessions:
            if signal == "-TERM" and session.pid == pid:
                with machine.effect("ended a login"):
                    session.ending = True
                return done()
    return failed("no such process")


def _ps(machine: Machine, call: Call) -> Completed:
    """A postmaster's children: each connection's title says where it comes from; the others have none."""
    parent = int(call.option("ppid"))
    cluster = next(found for found in machine.running() if found.pid == parent)
    lines = [f"{parent + 90_000} postgres: checkpointer\n"]
    for session in cluster.sessions:
        place = f"{session.address}(40000)" if session.address else "[local]"
        title = "autovacuum worker app" if session.kind not in CLIENT_KINDS else f"{session.user} app {place}"
        lines.append(f"{session.pid} postgres: {title}\n")
    return done("".join(lines))


def _make_folder(machine: Machine, call: Call) -> Completed:
    Path(call.argv[-1]).mkdir(parents=True, exist_ok=True)
    return done()


def _nothing(machine: Machine, call: Call) -> Completed:
    return done()


def _create_cluster(machine: Machine, call: Call) -> Completed:
    """pg_createcluster: Debian's configuration, and an empty cluster of its own."""
    rest = call.argv[: call.argv.index("--")] if "--" in call.argv else call.argv
    version, name = rest[-2:]
    data, config = f"/var/lib/postgresql/{version}/{name}", f"/etc/postgresql/{version}/{name}"
    if machine.path(config).exists():
        return failed("cluster configuration already exists")
    system = machine.world.new_system()
    cluster = Cluster(int(version), data, config, f"postgresql@{version}-{name}.service", system=system)
    cluster.catalog["role postgres"] = ""
    with machine.effect(f"made the cluster {version}/{name}"):
        machine.clusters[data] = cluster
        machine.put(f"{config}/postgresql.conf", f"port = '{call.option('port')}'\n".encode())
        machine.put(f"{config}/pg_hba.conf", HBA.encode())
        machine.put(f"{config}/pg_ident.conf", b"")
        starts = call.option("start-conf") if "--start-conf" in call.argv else "auto"
        machine.put(f"{config}/start.conf", f"{starts}\n".encode())
        machine.put(f"{data}/PG_VERSION", f"{version}\n".encode())
        machine.put(f"{data}/global/pg_control", b"")
        machine.put(f"{data}/postgresql.auto.conf", b"")
    return done()


def _drop_cluster(machine: Machine, call: Call) -> Completed:
    """pg_dropcluster leaves what it finds no cluster in; the agent removes the folders itself."""
    return done()


def _base_backup(machine: Machine, call: Call) -> Completed:
    data, slot = call.option("pgdata"), call.option("slot")
    host = machine.world.at(call.option("host"))
    primary = host.listening(call.option("port")) if host is not None else None
    if host is None or primary is None or slot not in primary.slots:
        return failed("could not connect to server, or no such slot")
    user = call.option("username")
    knows = passwords.knows(primary, user, password_in(machine, user, call.environment["PGPASSFILE"]))
    refused = primary.admits(user, machine.address, database="replication", knows=knows)
    if refused is not None:
        return failed(refused)
    version = str(primary.version)
    config = f"/etc/postgresql/{version}/{data.rpartition('/')[2]}"
    copy = Cluster(primary.version, data, config, f"postgresql@{version}-{data.rpartition('/')[2]}.service")
    with machine.effect("began the base backup"):
        machine.put(f"{data}/backup_label", b"")
    with machine.effect("took the base backup"):
        copy.system, copy.lsn, copy.log = primary.system, primary.lsn, list(primary.log)
        copy.content, copy.catalog = set(primary.content), dict(primary.catalog)
        assert primary.subscription is None, "DB_A would follow itself"
        copy.next_xid, copy.completed = primary.next_xid, primary.completed
        machine.clusters[data] = copy
        machine.put(f"{data}/postgresql.auto.conf", host.text(f"{primary.data}/postgresql.auto.conf").encode())
        machine.put(f"{data}/global/pg_control", b"")
        machine.put(f"{data}/PG_VERSION", f"{version}\n".encode())
    return done("50/100 kB (50%)\n100/100 kB (100%)\n")


def _control_data(machine: Machine, call: Call) -> Completed:
    cluster = machine.cluster_at(call.argv[call.argv.index("-D") + 1])
    if cluster is None:
        return failed("could not open file global/pg_control")
    return done(f"pg_control version number:  1300\nDatabase system identifier:  {cluster.system}\n")


def _postgres(machine: Machine, call: Call) -> Completed:
    if "--describe-config" in call.argv:
        return done("".join(f"{name}\tpostmaster\n" for name in KNOWN_TO_17))
    name = call.argv[-1]
    known = name in (*KNOWN_TO_17, "data_directory")
    return done() if known else failed(f'unrecognized configuration parameter "{name}"')


def _pg_upgrade(machine: Machine, call: Call) -> Completed:
    """Checked; or the old cluster linked away, and the new one filled with what it held."""
    old, new = machine.cluster_at(call.option("old-datadir")), machine.cluster_at(call.option("new-datadir"))
    if old is None or new is None or new.content or new.running:
        return failed("the clusters are not as they have to be")
    if "--check" in call.argv:
        return done("*Clusters are compatible*\n") if old.running else failed("the old cluster does not run")
    if (
        old.running
        or machine.path(f"{old.data}/standby.signal").exists()
        or machine.path(f"{old.data}/{LINKED}").exists()
    ):
        return failed("the source cluster was not shut down cleanly")
    assert "default_transaction_read_only" not in machine.text(f"{new.data}/postgresql.auto.conf")
    assert not machine.trials, "a schema trial's server holds pg_upgrade's port"
    machine.put(f"{new.data}/pg_upgrade_output.d/run/log/pg_upgrade.log", b"fine\n")
    with machine.effect("pg_upgrade began to link"):
        machine.path(f"{old.data}/global/pg_control").rename(machine.path(f"{old.data}/{LINKED}"))
    with machine.effect("pg_upgrade filled the new cluster"):
        new.content, new.catalog = set(old.content), dict(old.catalog)
        new.lsn, new.next_xid, new.completed = old.lsn, old.next_xid, old.completed
    return done("Performing Upgrade\nUpgrade Complete\n")


def _psql(machine: Machine, call: Call) -> Completed:
    of_a_file = any(word.startswith("--file=") for word in call.argv)
    return trial.statements(machine, call) if of_a_file else psql(machine, call)


def _pg_ctl(machine: Machine, call: Call) -> Completed:
    if "start" in call.argv:
        return trial.start(machine, call)
    raise AssertionError("a cluster that its unit does not know of")


def _vacuumdb(machine: Machine, call: Call) -> Completed:
    """Statistics, waited for."""
    cluster = machine.listening(call.environment["PGPORT"])
    assert cluster is not None
    refused = cluster.admits(call.environment["PGUSER"], None, os_user=call.user)
    if refused is not None:
        return failed(refused)
    cluster.completed, cluster.next_xid = cluster.next_xid, cluster.next_xid + 1
    return done('vacuumdb: processing database "app": Generating medium optimizer statistics (10 targets)\n')


LINKED = "global/pg_control.old"
PROGRAMS: dict[str, Callable[[Machine, Call], Completed]] = {
    "psql": _psql,
    "initdb": trial.initdb,
    "pg_dump": trial.dump,
    "pg_dumpall": trial.dump,
    "pg_restore": trial.restore,
    "systemctl": systemctl,
    "systemd-run": systemd_run,
    "getent": _getent,
    "sh": _shell,
    "kill": _kill,
    "ps": _ps,
    "install": _make_folder,
    "chown": _nothing,
    "pg_createcluster": _create_cluster,
    "pg_dropcluster": _drop_cluster,
    "pg_basebackup": _base_backup,
    "pg_controldata": _control_data,
    "postgres": _postgres,
    "pg_upgrade": _pg_upgrade,
    "pg_ctl": _pg_ctl,
    "vacuumdb": _vacuumdb,
}
