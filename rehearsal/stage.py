"""The whole stage: the lab's fleet with databases, data and traffic, and the operator's stack."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rehearsal import operator_stack
from rehearsal.data.fill import Psql, Size, fill
from rehearsal.engine.project import Pulumi
from rehearsal.lab import databases, lab
from rehearsal.lab.down import down
from rehearsal.lab.hosts import Host
from rehearsal.lab.place import Place, Report
from rehearsal.traffic import install


@dataclass(frozen=True)
class Stage:
    """A lab that is up, with its operator's stack."""

    lab: lab.Lab
    pulumi: Pulumi

    @property
    def clients(self) -> list[Host]:
        """The servers that use the databases."""
        return [host for host in self.lab.hosts.values() if host.server.role in ("online", "drained", "worker")]

    @property
    def logs(self) -> Path:
        """Where the traffic's logs are collected to."""
        return self.lab.place.root / "traffic"


def set_up(place: Place, size: Size, report: Report, made_by: str) -> Stage:
    """Boot the fleet, but for what the stack is to make on EC2, and put databases, data and traffic on it; make the stack. Raises LabError."""
    it = lab.up(place, report, made_by, instances_by_stack=True)
    put_databases(it, size, report)
    return put_traffic(it, report, instances=True)


def put_databases(it: lab.Lab, size: Size, report: Report) -> None:
    """db1 a filled primary, db2 and db3 its replicas."""
    databases.make_primary(it)
    db1 = it.host("db1")
    fill(partial(databases.psql, db1), partial(databases.pgbench, db1), size)
    report("db1 is a primary, and filled")
    databases.make_replicas(it)
    report("db2 and db3 stream from it")


def put_traffic(it: lab.Lab, report: Report, *, instances: bool = False) -> Stage:
    """The operator's stack, and traffic on every server that uses the databases. With `instances` the stack is to make the new databases'
    servers; without, they are up, and are to it machines that are there already."""
    stage = Stage(it, operator_stack.make(it.place, report, instances=instances))
    for host in stage.clients:
        install.install(host)
    install.start(stage.clients)
    report("Traffic runs on web1 to web4, worker1 and worker2")
    return stage


def opened(place: Place) -> Stage:
    """The stage of a lab that is up. Raises LabError if there is none."""
    return Stage(lab.opened(place), operator_stack.opened(place))


def psql_as_root(host: Host) -> Psql:
    """psql on a host's own socket as root, which pgleap's rules admit as its local role, also while clients are refused."""

    def psql(database: str, text: str) -> str:
        argv = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "pgleap_root", "-d", database]
        return host.run(argv, stdin=text)

    return psql


def take_down(place: Place) -> list[str]:
    """Remove every trace; what was removed, in words."""
    operator_stack.stack_file(place).unlink(missing_ok=True)
    return down(place)
