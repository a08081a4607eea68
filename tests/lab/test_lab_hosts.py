"""The lab's servers are what the rehearsal takes them for: ten machines, apart from each other, that leave no trace."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.settings import Settings
from rehearsal import operator_stack
from rehearsal.lab import databases, keys, network
from rehearsal.lab import lab as whole
from rehearsal.lab.down import down
from rehearsal.lab.fleet import FLEET, NAMES, NEW_VERSION, OPERATOR_ADDRESS, Server, named
from rehearsal.lab.lab import Lab
from rehearsal.lab.place import REPOSITORY, LabError, Place, call

_NEW_SERVER = f"/usr/lib/postgresql/{NEW_VERSION}/bin/postgres"

pytestmark = pytest.mark.lab


def _ssh(lab: Lab, name: str, command: str) -> str:
    return call("ssh", "-F", keys.config(lab.place), name, command).strip()


@pytest.mark.parametrize("server", FLEET, ids=lambda server: server.name)
def test_each_server_lets_the_operator_in_as_itself(lab: Lab, server: Server) -> None:
    """Else two names could lead to one server, and a step for one would be carried out on the other."""
    found = _ssh(lab, server.name, "hostname; id -un; sudo -n id -un; ip -o -4 address show eth0; echo $SSH_CLIENT")
    hostname, user, with_sudo, address, client = found.splitlines()
    assert (hostname, user, with_sudo) == (server.name, "deploy", "root")
    assert f" {server.address}/" in address
    assert client.split()[0] == OPERATOR_ADDRESS


def test_a_server_with_another_host_key_is_refused(lab: Lab) -> None:
    """Else the host keys of the lab would prove nothing about those that the stack pins."""
    known = lab.place.root / "swapped-known-hosts"
    known.write_text(f"{named('db1').address} {keys.host_key(lab.place, named('db2'))}\n")
    with pytest.raises(LabError, match=r"Host key verification failed|IDENTIFICATION HAS CHANGED"):
        call(
            *("ssh", "-F", keys.config(lab.place), "-o", f"UserKnownHostsFile={known}", "-o", "LogLevel=INFO"),
            *(f"deploy@{named('db1').address}", "true"),
        )


def test_the_agent_alone_opens_every_server(lab: Lab) -> None:
    """Else `pulumi up`, which has nothing but the agent, would fail where `ssh -F` works."""
    agent = {"SSH_AUTH_SOCK": str(keys.agent_socket(lab.place))}
    known = f"UserKnownHostsFile={lab.place.ssh / 'known_hosts'}"
    target = f"deploy@{named('web1').address}"
    call("ssh", "-F", "none", "-o", known, "-o", "BatchMode=yes", target, "true", environment=agent)


def test_database_names_lead_to_the_old_fleet(lab: Lab) -> None:
    """Else traffic would go to a server that the upgrade does not touch."""
    for name, owner in NAMES.items():
        assert _ssh(lab, "worker1", f"getent hosts {name}").split()[0] == named(owner).address
    assert "1 received" in _ssh(lab, "web3", "ping -c 1 -W 5 db3.internal.ln")


def test_a_unit_of_one_server_is_no_unit_of_another(lab: Lab) -> None:
    """Hosts that share a control group end each other's units of the same name without a word."""
    for name in ("worker1", "worker2"):
        lab.host(name).run(["systemd-run", "--quiet", "--unit=same-name", "sleep", "600"])
    lab.host("worker1").run(["systemctl", "stop", "same-name"])
    assert lab.host("worker2").run(["systemctl", "is-active", "same-name"]) == "active\n"
    lab.host("worker2").run(["systemctl", "stop", "same-name"])


def test_a_transient_unit_outlives_the_connection_that_started_it(lab: Lab) -> None:
    """Else every long step would look right only as long as nobody hangs up."""
    _ssh(lab, "db-a", "sudo systemd-run --quiet --unit=long sh -c 'sleep 0.5; echo done > /var/tmp/long'")
    deadline = time.monotonic() + 10
    while _ssh(lab, "db-a", "cat /var/tmp/long || true") != "done":
        assert time.monotonic() < deadline


def test_a_server_comes_back_with_its_disk_after_a_power_failure(lab: Lab) -> None:
    """Else a test of dying half-way would look at a server that was set up afresh."""
    host = lab.host("web4")
    host.write("/var/lib/kept", "written before the power went")
    host.run(["sync"])
    host.kill()
    with pytest.raises(LabError, match="web4"):
        host.run(["true"])
    host.boot()
    assert _ssh(lab, "web4", "cat /var/lib/kept") == "written before the power went"
    host.stop()
    assert host.leader() is None
    host.boot()
    assert _ssh(lab, "web4", "systemctl is-system-running --wait") == "running"


def test_a_failing_program_is_reported_with_its_words(lab: Lab) -> None:
    """Else the lab would go on without what the program was to do."""
    with pytest.raises(LabError, match=r"On web1: .* ended with 3 and said: no such luck"):
        lab.host("web1").run(["sh", "-c", "echo no such luck >&2; exit 3"])


def test_a_second_lab_is_refused_and_taking_it_down_leaves_the_first(lab: Lab, tmp_path: Path) -> None:
    """Else a second checkout would break the first one's network, or end its servers."""
    other = Place(tmp_path / ".lab")
    with pytest.raises(LabError, match=f"Expected no other lab on this machine.*{lab.place.root}"):
        whole.up(other, print)
    assert not [words for words in down(other) if words != f"the folder {other.root}"]
    with pytest.raises(LabError, match="found one that is up"):
        whole.up(lab.place, print)
    assert _ssh(lab, "db1", "hostname") == "db1"


def test_what_a_dead_lab_left_is_taken_away(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox that was restarted leaves a bridge and a folder without a process, and every lab after it would be refused."""
    dead = Place(tmp_path / ".lab")
    dead.root.mkdir()
    dead.made_by.write_text("hand\n")
    monkeypatch.setattr(network, "owner", lambda: str(dead.root))
    monkeypatch.setattr(network, "down", lambda place: [f"the network of {place.root}"])
    with pytest.raises(LabError, match="Expected no other lab on this machine"):
        whole.up(lab.place, print)
    assert not dead.root.exists()
    assert lab.place.made_by.exists()
    assert _ssh(lab, "db1", "hostname") == "db1"


def test_the_stack_file_is_valid(lab: Lab) -> None:
    """Else `pulumi up` by hand would start with the lab's own mistakes."""
    config = operator_stack.config(lab.place)
    given = {name.removeprefix("pgleap:"): value for name, value in config.items()}
    secrets = dict.fromkeys(("password", "replicationPassword"), "set as a secret")
    settings = Settings.from_config({**given, "phase": "prepare", "round": 1, **secrets})
    assert {name: server.address for name, server in settings.servers.items()} == {
        server.name: server.address for server in FLEET
    }


def test_replicas_stream_what_the_primary_writes(filled_lab: Lab) -> None:
    """Else reads on a replica would be counted as served by a fleet that is not one."""
    primary = filled_lab.host("db1")
    psql = databases.psql
    position = psql(primary, "bench", "CREATE TABLE travels AS SELECT 42 AS n; SELECT pg_current_wal_lsn();").strip()
    for name in ("db2", "db3"):
        replica = filled_lab.host(name)
        deadline = time.monotonic() + 20
        while psql(replica, "postgres", f"SELECT pg_last_wal_replay_lsn() >= '{position}'").strip() != "t":
            assert time.monotonic() < deadline
        assert psql(replica, "bench", "SELECT n FROM travels").strip() == "42"
        assert psql(replica, "postgres", "SELECT pg_is_in_recovery()").strip() == "t"
    slots = psql(primary, "postgres", "SELECT slot_name FROM pg_replication_slots WHERE active ORDER BY 1")
    assert slots.split() == ["db2", "db3"]
    psql(primary, "bench", "DROP TABLE travels")


def test_the_primary_has_settings_that_the_new_version_refuses(filled_lab: Lab) -> None:
    """Else an upgrade that copies the configuration as it is would pass in the lab and fail in production."""
    primary = filled_lab.host("db1")
    stands_in = dict(
        line.split("|")
        for line in databases.psql(
            primary,
            "postgres",
            "SELECT name, sourcefile FROM pg_settings WHERE name IN ('old_snapshot_threshold', 'trace_recovery_messages')",
        ).splitlines()
    )
    assert stands_in["old_snapshot_threshold"].endswith("/postgresql.conf")
    assert stands_in["trace_recovery_messages"].endswith("/postgresql.auto.conf")
    for name in stands_in:
        with pytest.raises(LabError, match="unrecognized configuration parameter"):
            primary.run([_NEW_SERVER, "-c", f"{name}=log", "-C", "port", "-D", databases.DATA], user="postgres")
    assert databases.psql(primary, "postgres", "SHOW data_checksums; SHOW fsync; SHOW wal_level").split() == [
        *("on", "on", "logical")
    ]


_CRASH = """
import os, shutil, signal, sys
from pathlib import Path
from rehearsal.lab import control_groups, lab, network, processes
from rehearsal.lab.down import down
from rehearsal.lab.fleet import FLEET
from rehearsal.lab.place import Place, call

place = Place(Path(sys.argv[1]))
lab.up(place, print, servers=FLEET[:2])
bystander = int(sys.argv[2])

# A host whose nspawn was killed goes on running without it; nothing is recorded any more; a third host is half made.
os.kill(processes.running(place, "host-db1"), signal.SIGKILL)
shutil.rmtree(place.processes)
network.up(FLEET[2:3])
(place.hosts / "db3" / "root").mkdir(parents=True)
call("mount", "-t", "tmpfs", "none", place.hosts / "db3" / "root")
assert control_groups.processes(place)

removed = down(place)
print(removed)
assert not control_groups.processes(place) and not processes.started(place)
assert str(place.root) not in Path("/proc/self/mountinfo").read_text()
assert "pgl" not in call("ip", "-all", "netns") + call("ip", "link")
assert not place.root.exists() and not list(Path("/sys/fs/cgroup").glob(f"**/{control_groups._top(place)}"))
assert processes.alive(bystander)
assert down(place) == []
"""


def test_a_disk_that_was_kept_comes_back(lab: Lab, tmp_path: Path) -> None:
    """Else the bench's runs would each begin from what the one before left."""
    host = lab.host("web4")
    host.write("/var/tmp/kept", "before\n")
    host.stop()
    host.keep_disk(tmp_path / "kept")
    host.boot()
    host.write("/var/tmp/kept", "after\n")
    host.write("/var/tmp/new", "after\n")
    host.run(["rm", "/etc/hostname"])  # of the image: its absence is something that a disk holds, too
    host.replace_disk(tmp_path / "kept")
    assert host.leader() is None
    host.boot()
    assert host.run(["cat", "/var/tmp/kept"]) == "before\n"
    assert (
        host.run(["find", "/etc/hostname", "/var/tmp", "-name", "new", "-o", "-name", "hostname"]) == "/etc/hostname\n"
    )
    host.run(["rm", "/var/tmp/kept"])


def test_nothing_is_left_of_a_lab_that_crashed(lab: Lab, tmp_path: Path) -> None:
    """Else mounts, namespaces and servers would pile up on the machine, and a folder be deleted below a mount.

    A lab of two hosts, in a network namespace of its own so that both can be up, crashes and is taken down; the shared
    one, and a process that merely mentions the crashed one's folder, go on.
    """
    place = tmp_path / ".lab"
    bystander = subprocess.Popen(["sh", "-c", "read line", "sh", str(place)], stdin=subprocess.PIPE)
    try:
        call(
            *(
                "unshare",
                "--net",
                "--mount",
                "sh",
                "-ec",
                'mkdir -p /run/netns; mount -t tmpfs none /run/netns; exec "$@"',
            ),
            *("sh", sys.executable, "-c", _CRASH, place, str(bystander.pid)),
            environment={"PYTHONPATH": str(REPOSITORY)},
            seconds=120,
        )
    finally:
        bystander.kill()
        bystander.wait()
    assert _ssh(lab, "db2", "hostname") == "db2"
