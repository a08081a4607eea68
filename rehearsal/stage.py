"""The whole stage: the lab's fleet with databases, data and traffic, and the operator's stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rehearsal import operator_stack
from rehearsal.asked import Dump
from rehearsal.data.fill import Psql, Size, fill
from rehearsal.data.restore import Restored, restore
from rehearsal.engine.project import Pulumi
from rehearsal.lab import databases, lab
from rehearsal.lab.down import down
from rehearsal.lab.fleet import ORDINARY, Fleet
from rehearsal.lab.hosts import Host
from rehearsal.lab.place import Place, Report
from rehearsal.traffic import install
from rehearsal.traffic.mix import Mix


@dataclass(frozen=True)
class Wanted:
    """What a rehearsal is given: its fleet, its data, its traffic (None: the ordinary one), the connections that this takes, and the schemas
    that are restored beside the lab's own."""

    fleet: Fleet = ORDINARY
    size: Size = field(default_factory=Size)
    mix: Mix | None = None
    connections: int = 0
    dumps: Sequence[Dump] = ()


@dataclass(frozen=True)
class Stage:
    """A lab that is up, with its operator's stack, and what became of the schemas that were given."""

    lab: lab.Lab
    pulumi: Pulumi
    restored: Sequence[Restored] = ()

    @property
    def fleet(self) -> Fleet:
        """What the lab is made from."""
        return self.lab.fleet

    @property
    def clients(self) -> list[Host]:
        """The servers that use the databases."""
        return [host for host in self.lab.hosts.values() if host.server.role in ("online", "drained", "worker")]

    @property
    def logs(self) -> Path:
        """Where the traffic's logs are collected to."""
        return self.lab.place.root / "traffic"


def set_up(place: Place, wanted: Wanted, report: Report, made_by: str) -> Stage:
    """Boot the fleet, but for what the stack is to make on EC2, and put databases, data and traffic on it; make the stack. Raises LabError."""
    it = lab.up(place, report, made_by, fleet=wanted.fleet, instances_by_stack=True)
    restored = put_databases(it, wanted.size, report, wanted)
    return replace(put_traffic(it, report, wanted.mix, instances=True), restored=restored)


def put_databases(
    it: lab.Lab,
    size: Size,
    report: Report,
    wanted: Wanted | None = None,
    before_replicas: Callable[[], None] = lambda: None,
) -> list[Restored]:
    """The old primary filled, and its replicas; what became of the schemas that were given."""
    wanted = wanted or Wanted(it.fleet, size)
    databases.make_primary(it, size.databases + len(wanted.dumps), wanted.connections)
    primary = it.host(it.fleet.primary.name)
    fill(partial(databases.psql, primary), partial(databases.pgbench, primary), size)
    report(f"{primary.name} is a primary, and filled")
    restored = [
        restore(partial(databases.psql, primary), partial(databases.psql_on, primary), one) for one in wanted.dumps
    ]
    for one in restored:
        report(one.sentence)
    before_replicas()
    databases.make_replicas(it)
    report(f"{', '.join(one.name for one in it.fleet.replicas)}: streaming from it")
    return restored


def put_traffic(it: lab.Lab, report: Report, mix: Mix | None = None, *, instances: bool = False) -> Stage:
    """The operator's stack, and traffic on every server that uses the databases. With `instances` the stack is to make the new databases'
    servers; without, they are up, and are to it machines that are there already."""
    stage = Stage(it, operator_stack.make(it.place, report, it.fleet, instances=instances))
    for host in stage.clients:
        install.install(host, it.fleet, mix)
    install.start(stage.clients)
    report(f"Traffic runs on {', '.join(host.name for host in stage.clients)}")
    return stage


def opened(place: Place) -> Stage:
    """The stage of a lab that is up. Raises LabError if there is none."""
    return Stage(lab.opened(place), operator_stack.opened(place))


def psql_as_root(host: Host) -> Psql:
    """psql on a host's own socket as root, which pgleap's rules admit as its local role, also while clients are refused."""

    def psql(database: str, text: str) -> str:
        argv = [
            "psql",
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "pgleap_root",
            "-d",
            databases.conninfo(database),
        ]
        return host.run(argv, stdin=text)

    return psql


def take_down(place: Place) -> list[str]:
    """Remove every trace; what was removed, in words."""
    operator_stack.stack_file(place).unlink(missing_ok=True)
    return down(place)
