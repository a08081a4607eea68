"""What is wrong with a server of the application: its hosts file, how it finds names, who keeps them, what it reaches."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.check_names import CheckName
from agent.checks import files
from tests.preflight.folders import HOSTS, NAMES, Folder

FINE = (
    CheckName.HOSTS_FILE, CheckName.HOSTS_REWRITTEN, CheckName.NAME_RESOLUTION, CheckName.RESOLVER_CACHE, CheckName.CONTAINERS,
    CheckName.PGBOUNCER,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("name", FINE, ids=lambda name: name.value)
def test_a_clean_server_has_nothing(folder: Folder, name: CheckName) -> None:
    """A check that cries over an ordinary server is soon read by nobody."""
    assert folder.found(name) == []


def test_a_hosts_file_that_is_a_link(folder: Folder) -> None:
    """A rename replaces the link, and whoever manages what it led to goes on doing so, unseen."""
    file = folder.server.path("/etc/hosts")
    file.rename(file.with_name("hosts.real"))
    file.symlink_to("hosts.real")
    assert folder.found(CheckName.HOSTS_FILE) == ["/etc/hosts is a link to hosts.real"]


def test_no_hosts_file(folder: Folder) -> None:
    folder.server.path("/etc/hosts").unlink()
    assert folder.found(CheckName.HOSTS_FILE) == ["/etc/hosts is not there"]


def test_an_immutable_hosts_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everything, but not this: it shows in the window, when the file is to be replaced."""
    monkeypatch.setattr(files, "_flags", lambda path: 0x10 if path.is_file() else 0)
    assert folder.found(CheckName.HOSTS_FILE) == ["/etc/hosts is immutable (lsattr shows i)"]


def test_a_file_really_made_immutable(folder: Folder) -> None:
    """The number that the kernel is asked by must be the right one."""
    file = folder.server.path("/etc/hosts")
    if subprocess.run(["chattr", "+i", str(file)], check=False, capture_output=True).returncode != 0:
        pytest.skip("no file system with attributes, or not root")
    try:
        assert folder.found(CheckName.HOSTS_FILE) == ["/etc/hosts is immutable (lsattr shows i)"]
    finally:
        subprocess.run(["chattr", "-i", str(file)], check=True)


def test_a_hosts_file_that_is_mounted(folder: Folder) -> None:
    """In a container, or under a bind mount, a rename over it fails."""
    folder.write("/proc/self/mountinfo", "36 35 98:0 / / rw - ext4 /dev/root rw\n")
    assert folder.found(CheckName.HOSTS_FILE) == []
    folder.write("/proc/self/mountinfo", "36 35 98:0 /hosts /etc/hosts rw,noatime - ext4 /dev/root rw\n")
    assert "a mount of its own" in folder.found(CheckName.HOSTS_FILE)[0]


def test_a_record_that_cannot_be_read(folder: Folder) -> None:
    """By it alone the file is put back as it was."""
    folder.write("/var/lib/pgleap/hosts.json", '{"before": "", "drafts": [], "reload owed": false}')
    assert folder.found(CheckName.HOSTS_FILE) == []
    folder.write("/var/lib/pgleap/hosts.json", '{"before"')
    assert "cannot be read" in folder.found(CheckName.HOSTS_FILE)[0]


def test_a_name_on_two_lines(folder: Folder) -> None:
    """Programs take the first, or both in turn; which one it meant before is not known when it is put back."""
    folder.write("/etc/hosts", HOSTS + "10.77.0.13 DB1.internal.ln\n2001:db8::12 db2.internal.ln\n")
    assert folder.found(CheckName.HOSTS_FILE) == ["db1.internal.ln stands in /etc/hosts with 10.77.0.11 and 10.77.0.13"]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"/etc/cloud/cloud.cfg": "manage_etc_hosts: true\n"}, True),
        ({"/etc/cloud/cloud.cfg.d/90.cfg": "  manage_etc_hosts : 'template'\n"}, True),
        ({"/var/lib/cloud/instance/cloud-config.txt": "#cloud-config\nmanage_etc_hosts: True\n"}, True),
        ({"/etc/cloud/cloud.cfg": "manage_etc_hosts: localhost\n"}, False),
        ({"/etc/cloud/cloud.cfg": "# manage_etc_hosts: true\n"}, False),
        ({"/etc/cloud/cloud.cfg": "manage_etc_hosts: true", "/etc/cloud/cloud.cfg.d/99.cfg": "manage_etc_hosts: false"}, False),
        ({"/etc/cloud/cloud.cfg": "manage_etc_hosts: true\n", "/etc/cloud/cloud-init.disabled": ""}, False),
        ({"/etc/hosts": f"# HEADER: This file is managed by Puppet\n{HOSTS}"}, True),
        ({"/etc/hosts": f"# Ansible managed\n{HOSTS}"}, True),
        ({"/etc/hosts": f"{HOSTS}10.77.0.9 puppet salt chef\n"}, False),
    ],
)  # fmt: skip
def test_who_writes_the_hosts_file_anew(folder: Folder, files: dict[str, str], found: bool) -> None:
    """A reboot, or the tool's next run, leads names back to a database that refuses writes, weeks later and one server at a time."""
    for path, text in files.items():
        folder.write(path, text)
    assert bool(folder.found(CheckName.HOSTS_REWRITTEN)) is found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("hosts: files dns", False),
        ("hosts:\tmymachines files [NOTFOUND=return] dns # resolve", False),
        ("hosts: resolve [!UNAVAIL=return] files dns", False),
        ("hosts: dns files", True),
        ("hosts: sss files", True),
        ("hosts: dns", True),
        ("# hosts: files dns", True),
    ],
)  # fmt: skip
def test_the_order_in_which_names_are_looked_up(folder: Folder, line: str, found: bool) -> None:
    """Where DNS comes first the hosts file is changed, and nothing moves."""
    folder.write("/etc/nsswitch.conf", f"passwd: files\n{line}\n")
    assert bool(folder.found(CheckName.NAME_RESOLUTION)) is found


def test_a_name_that_is_only_in_dns(folder: Folder) -> None:
    folder.write("/etc/hosts", "10.77.0.11 db1.internal.ln\n")
    folder.elsewhere = {"db2.internal.ln": ["10.77.0.12"]}
    assert folder.found(CheckName.NAME_RESOLUTION) == [
        "db2.internal.ln does not stand in /etc/hosts; it leads to 10.77.0.12"
    ]
    folder.elsewhere = {}
    assert folder.found(CheckName.NAME_RESOLUTION) == ["db2.internal.ln does not stand in /etc/hosts; it leads nowhere"]


def test_a_name_that_leads_elsewhere_than_its_line_says(folder: Folder) -> None:
    """Something stands between the file and the programs, and will do so in the window."""
    folder.by_file, folder.elsewhere = False, {name: ["10.9.9.9"] for name in NAMES}
    assert "but leads to 10.9.9.9" in folder.found(CheckName.NAME_RESOLUTION)[0]


def test_a_name_that_leads_elsewhere_than_the_stack_says(folder: Folder) -> None:
    """The config would send it, on the way back, where it never was."""
    found = folder.found(CheckName.NAME_RESOLUTION, names={**NAMES, "db2.internal.ln": "10.77.0.13"})
    assert found == ["db2.internal.ln leads to 10.77.0.12; the stack has it lead to 10.77.0.13"]


def test_what_remembers_names(folder: Folder) -> None:
    """Clients stay on the old database until it forgets."""
    folder.active = {"nscd", "dnsmasq"}
    assert [sentence.split()[0] for sentence in folder.found(CheckName.RESOLVER_CACHE)] == ["nscd"]
    folder.write("/etc/nscd.conf", "\tenable-cache\t\thosts\t\tno\n")
    assert folder.found(CheckName.RESOLVER_CACHE) == [], "nobody asks by DNS for a name that the file has already"
    folder.write("/etc/nsswitch.conf", "hosts: dns files\n")
    assert [sentence.split()[0] for sentence in folder.found(CheckName.RESOLVER_CACHE)] == ["dnsmasq"]
    folder.write("/etc/nsswitch.conf", "hosts: mymachines files dns\n")
    folder.active = {"systemd-resolved"}
    assert folder.found(CheckName.RESOLVER_CACHE) == [], "a stub for DNS behind `files` remembers no line of the file"
    folder.write("/etc/nsswitch.conf", "hosts: resolve files\n")
    assert "systemd-resolved answers before" in folder.found(CheckName.RESOLVER_CACHE)[0]


def docker(
    folder: Folder, name: str, text: str, *, running: bool = True, source: str = "/srv", process: int | None = None
) -> None:
    where = f"/var/lib/docker/containers/{name * 3}"
    mounts = {"/x": {"Source": source}}
    folder.write(
        f"{where}/config.v2.json",
        json.dumps({"Name": f"/{name}", "State": {"Running": running, "Pid": process or 0}, "MountPoints": mounts}),
    )
    folder.write(f"{where}/hosts", text)


def test_containers_with_hosts_files_of_their_own(folder: Folder) -> None:
    """The server's file moves, and the application inside goes on writing to the old primary until the seal, then nowhere."""
    docker(folder, "shop", HOSTS)
    docker(folder, "cache", "127.0.0.1 localhost\n")
    docker(folder, "old", HOSTS, running=False)
    docker(folder, "bound", "127.0.0.1 localhost\n", source="/etc/hosts")
    found = folder.found(CheckName.CONTAINERS)
    assert found[0].startswith("the container bound (docker) has the server's /etc/hosts mounted")
    assert found[1] == "the container shop (docker) has db1.internal.ln, db2.internal.ln in a hosts file of its own"
    assert found[2].startswith("the container cache (docker): ")
    assert len(found) == 3


# As /proc/PID/net/tcp has them: to 10.77.0.11:5432, and to its port 22; to 10.77.0.14 from a socket of both families; one that is closing.
TO_DB1, TO_SSH = "0: 0200A8C0:A2F4 0B004D0A:1538 01 0", "0: 0200A8C0:A2F4 0B004D0A:0016 01 0"
TO_DB_A = "0: 0000000000000000FFFF00000200A8C0:A2F4 0000000000000000FFFF00000E004D0A:1538 01 0"
CLOSING = "0: 0200A8C0:A2F4 0B004D0A:1538 06 0"


def test_containers_that_have_nothing_to_do_with_the_databases(folder: Folder) -> None:
    """Every server with an agent that watches it in a container was warned of; one that uses the databases by their address was told no louder."""
    header = "  sl  local_address rem_address   st tx_queue\n"
    for process, (name, lines) in enumerate(
        {"watcher": TO_SSH, "shop": TO_DB1, "both": TO_DB_A, "gone": CLOSING}.items(), 100
    ):
        docker(folder, name, "127.0.0.1 localhost\n", process=process)
        folder.write(f"/proc/{process}/net/{'tcp6' if name == 'both' else 'tcp'}", f"{header}{lines}\n")
    assert folder.found(CheckName.CONTAINERS) == [
        f"the container {name} (docker) uses the databases, and its own hosts file has none of the names: it finds them otherwise"
        for name in ("both", "shop")
    ]
    quiet = [
        "the container gone (docker), the container watcher (docker): none of the names in their hosts files, and no connection to a database now"
    ]
    assert folder.found(CheckName.CONTAINERS_APART) == quiet
    # In the server's own network it shows every connection of the server; and of one whose network is not seen nothing is known.
    docker(folder, "host", "127.0.0.1 localhost\n", process=200)
    docker(folder, "unseen", "127.0.0.1 localhost\n", process=201)
    folder.write("/proc/200/net/tcp", f"{header}{TO_DB1}\n")
    for number in ("200", "self"):
        file = folder.write(f"/proc/{number}/ns/nothing", "").with_name("net")
        file.symlink_to(folder.write("/proc/net-of-the-server", ""))
    assert folder.found(CheckName.CONTAINERS)[-1] == (
        "the container host (docker), the container unseen (docker): their own hosts files have none of the names; if they use the"
        " databases, they find them otherwise"
    )
    assert folder.found(CheckName.CONTAINERS_APART) == quiet


@pytest.mark.parametrize(
    "path",
    [
        "/run/containers/storage/overlay-containers/0123456789abcdef/userdata/hosts",
        "/run/user/1000/containers/overlay-containers/0123456789abcdef/userdata/hosts",
        "/var/lib/kubelet/pods/0123456789ab-cdef/etc-hosts",
    ],
)
def test_containers_of_other_engines(folder: Folder, path: str) -> None:
    folder.write(path, HOSTS)
    (found,) = folder.found(CheckName.CONTAINERS)
    assert "the container 0123456789ab (" in found
    assert "db1.internal.ln" in found


def test_containers_that_cannot_be_seen(folder: Folder) -> None:
    """No container found is no answer where an engine keeps them elsewhere."""
    folder.active = {"kubelet"}
    assert folder.look(CheckName.CONTAINERS).unseen is not None


INI = """
[databases]
shop = host=db1.internal.ln port=5432 dbname=shop
; metrics = host=db2.internal.ln
* = host='10.77.0.12'
[pgbouncer]
listen_port = 6432
dns_max_ttl = 30
"""


def test_pgbouncer(folder: Folder) -> None:
    """Its clients would stay on the sealed primary for as long as it keeps connections and addresses."""
    folder.write("/etc/pgbouncer/pgbouncer.ini", INI)
    assert folder.found(CheckName.PGBOUNCER) == [], "it does not run"
    folder.process("pgbouncer", "-d", "/etc/pgbouncer/pgbouncer.ini")
    by_address, by_name = folder.found(CheckName.PGBOUNCER)
    assert "by their address" in by_address
    assert "10.77.0.12 (db2)" in by_address
    assert "leads to db1.internal.ln; dns_max_ttl 30 s, server_round_robin 0" in by_name


def test_pgbouncer_that_is_told(folder: Folder) -> None:
    folder.write("/srv/own.ini", "[databases]\nshop = host=db1.internal.ln\n")
    folder.process("pgbouncer", "/srv/own.ini")
    assert "dns_max_ttl 15 s" in folder.found(CheckName.PGBOUNCER)[0]
    assert folder.found(CheckName.PGBOUNCER, reload="psql -p 6432 pgbouncer -c RECONNECT") == []
    folder.server.path("/srv/own.ini").unlink()
    assert "is not there to look at" in folder.found(CheckName.PGBOUNCER)[0]


@pytest.fixture
def port() -> Iterator[int]:
    """Somebody accepts on 127.0.0.2, nobody is on 127.0.0.3, and 127.0.0.4 answers no more: its queue is full, as behind a firewall
    that drops."""
    with ExitStack() as stack:
        open_ = stack.enter_context(socket.socket())
        open_.bind(("127.0.0.2", 0))
        open_.listen(16)
        found = open_.getsockname()[1]
        mute = stack.enter_context(socket.socket())
        mute.bind(("127.0.0.4", found))
        mute.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.4", found))
        yield found


def test_ports(folder: Folder, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A security group that leaves DB_A out shows when the names lead there, which is too late."""
    monkeypatch.setattr("agent.checks.reach.SECONDS", 0.2)
    asked = {
        "postgres": {"port": port},
        "primary": {"server": "db1", "address": "127.0.0.2"},
        "replicas": {"db2": "127.0.0.3"},
    }
    there = {"db1": "127.0.0.2", "db-a": "127.0.0.3"}
    assert folder.found(CheckName.PORTS, databases=there, **asked) == [], (
        "DB_A has no PostgreSQL yet, and refuses itself"
    )
    there = {"db1": "127.0.0.2", "db2": "127.0.0.3", "db-a": "127.0.0.4"}
    assert folder.found(CheckName.PORTS, databases=there, **asked) == [
        f"port {port} of db2 (127.0.0.3): Connection refused",
        f"port {port} of db-a (127.0.0.4): no answer within 0.2 s",
    ]


@pytest.mark.parametrize(
    ("side", "tried"),
    [
        ("old primary", {"db-a", "db2"}),
        ("DB_A", {"db1", "db2"}),
        ("old replica", {"db1"}),
        ("new replica", {"db-a"}),
        ("server", {"db1", "db2", "db-a", "db-c"}),
    ],
)
def test_whom_each_side_has_to_reach(
    folder: Folder, side: str, tried: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DB_A and the old primary read each other in both directions; what is tried in one alone fails in the window."""
    addresses = {"db1": "127.0.0.2", "db2": "127.0.0.3", "db-a": "127.0.0.4", "db-c": "127.0.0.5"}
    seen: set[str] = set()
    monkeypatch.setattr("agent.server.Server.refusal", lambda self, address, port, seconds: seen.add(address))
    asked = {
        "primary": {"server": "db1", "address": "127.0.0.2"}, "replicas": {"db2": "127.0.0.3"}, "target": {"db-a": "127.0.0.4"},
    }  # fmt: skip
    folder.found(CheckName.PORTS, side=side, databases=addresses, **asked)
    assert seen == {addresses[name] for name in tried}
