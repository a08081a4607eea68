"""A lab as a whole: its place, its servers' hosts, booting the fleet."""

from collections.abc import Sequence
from pathlib import Path

from rehearsal.lab import control_groups, hosts, image, keys, network, packages, processes
from rehearsal.lab.down import down
from rehearsal.lab.fleet import ORDINARY, USER, Fleet, Server
from rehearsal.lab.hosts import Host
from rehearsal.lab.place import LabError, Place, Report


class Lab:
    """A fleet that is up, or is about to be. `hosts` are its servers by name, `fleet` what it is made from."""

    def __init__(self, place: Place, hosts_by_name: dict[str, Host], fleet: Fleet = ORDINARY) -> None:
        self.place = place
        self.hosts = hosts_by_name
        self.fleet = fleet

    def host(self, name: str) -> Host:
        """The server of that name. Raises KeyError."""
        return self.hosts[name]


def up(
    place: Place,
    report: Report,
    made_by: str = "hand",
    servers: Sequence[Server] | None = None,
    *,
    fleet: Fleet = ORDINARY,
    instances_by_stack: bool = False,
) -> Lab:
    """Boot the fleet: packages and image if they are not there, network, keys, agent, hosts.

    `made_by` says in a word who wants it. `servers` are those of the fleet to boot, all of them if not given. With `instances_by_stack` the servers that a stack makes on EC2 are left to the stack's
    stand-in for it (instances.py). Raises LabError when a lab is up already, this checkout's or another's, or
    when something does not come up; what has come up by then stays, to be looked at, until it is taken down. What a lab
    has left of which no process lives (a restart ended them all) is taken away first, whoever's it was.
    """
    servers = fleet.servers if servers is None else servers
    packages.install(report)
    root = image.ensure(report)
    _take_away_the_dead(place, report)
    network.claim(place)
    place.root.mkdir(parents=True, exist_ok=True)
    try:
        with place.made_by.open("x") as claimed:
            claimed.write(f"{made_by}\n")
    except FileExistsError:
        raise LabError(
            f"Expected no lab in {place.root}, found one that is up or was left: run `make lab-down` first."
        ) from None
    place.image.symlink_to(root)
    fleet.keep(place.fleet)
    keys.generate(place, servers)
    keys.start_agent(place)
    report("Network and keys are there")
    network.up(servers)
    lab = Lab(place, {server.name: Host(place, server, fleet) for server in servers}, fleet)
    booted = [host for host in lab.hosts.values() if not (instances_by_stack and host.server.instance)]
    hosts.boot(booted)
    report(f"{len(booted)} servers let {USER} in")
    return lab


def _take_away_the_dead(place: Place, report: Report) -> None:
    owner = network.owner()
    for left in {Path(owner) if owner else place.root, place.root}:
        lab = Place(left)
        if lab.made_by.exists() and not processes.started(lab) and not control_groups.processes(lab):
            report(f"Took away what a lab that has ended left: {', '.join(down(lab))}")


def opened(place: Place) -> Lab:
    """The lab that is up in `place`. Raises LabError when there is none."""
    if not place.made_by.exists():
        raise LabError(f"Expected a lab that is up in {place.root}, found none: run `make lab` first.")
    fleet = Fleet.kept(place.fleet)
    return Lab(place, {server.name: Host(place, server, fleet) for server in fleet.servers}, fleet)
