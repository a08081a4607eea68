"""Three light hosts, their names led elsewhere by plain ssh, and nothing left of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rehearsal.bench.hosts_files import bench, light, network
from rehearsal.bench.hosts_files.figures import Took
from rehearsal.bench.hosts_files.others import PlainSsh
from rehearsal.lab import control_groups, packages, processes
from rehearsal.lab.down import mounts_below
from rehearsal.lab.fleet import Server
from rehearsal.lab.place import LabError, Place, call

THRESHOLD = Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")
pytestmark = pytest.mark.light


class Liar:
    """A tool that does nothing, and says that it did."""

    def lead(self, servers: Sequence[Server], address: str) -> Took:
        return Took(0.1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Of the test's own: hosts that a bench has up are none of its business."""
    if reason := packages.why_not():
        pytest.skip(reason)
    return Place(tmp_path / "hosts")


def test_hosts_come_up_are_changed_and_go(place: Place) -> None:
    """A bench that does not see what tools did would praise the one that does least; one that leaves hosts behind slows down all that
    is measured after it."""
    before = THRESHOLD.read_text()
    with light.booted(3, print, place) as hosts:
        address = hosts.fleet.target.address
        run = bench.one_run(hosts, hosts.servers, PlainSsh(hosts), address)
        assert 0 < run.spread < run.seconds
        assert run.hosts_cpu > 0
        assert all(address in hosts.file(server).read_text() for server in hosts.servers)
        with pytest.raises(LabError, match="Liar to lead all names on web000"):
            bench.one_run(hosts, hosts.servers, Liar(), address)
        assert len(control_groups.processes(place)) >= 3
    assert (processes.started(place), control_groups.processes(place), mounts_below(place)) == ([], [], [])
    assert network.owner() is None
    assert "light-" not in call("ip", "netns", "list")
    assert (THRESHOLD.read_text(), place.root.exists()) == (before, False)


def test_what_a_crash_left_goes_too(place: Place) -> None:
    """After a crash nobody is there to take hosts down, and the next run finds the bridge taken."""
    hosts = light.booted(2, print, place)
    hosts.__enter__()
    assert network.owner() == str(place.root)
    assert light.down(place)
    assert light.down(place) == []
    assert network.owner() is None
