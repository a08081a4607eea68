"""The hosts-file verb on a server: led elsewhere, back again, interrupted anywhere, and with others editing the same file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.hosts_file import COPY, HOSTS, RECORD, hosts_file
from agent.report import Refusal
from agent.server import Completed
from tests.agent.fake_server import FakeServer, PowerCutError

BEFORE = b"127.0.0.1\tlocalhost\n10.77.0.11 db1.internal.ln db1 # main\n10.77.0.12 db2.internal.ln\n"
ON_DB_B = b"127.0.0.1\tlocalhost\n10.77.0.11 db1 # main\n10.77.0.12\tdb1.internal.ln\n10.77.0.12 db2.internal.ln\n"
AS_BEFORE = {"db1.internal.ln": "10.77.0.11", "db2.internal.ln": "10.77.0.12"}
DB_B = dict.fromkeys(AS_BEFORE, "10.77.0.12")
DB_A = dict.fromkeys(AS_BEFORE, "10.77.0.14")
RELOAD = "systemctl reload myapp && echo done"


def managed(names: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"server": "web1", "address": "10.77.0.21", "round": 1, "hosts": "managed", "names": names, **more}


def as_they_were(names: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {**managed(names or AS_BEFORE, **more), "hosts": "as they were"}


class WebServer(FakeServer):
    """Resolves names from its hosts file as glibc does, unless DNS comes first; has no name service cache."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.dns_first: dict[str, str] = {}
        self.cached: dict[str, str] = {}
        self.reload_fails = False
        self.programs.update({"/bin/sh": self.shell, "nscd": self.nscd})
        self.path("/etc").mkdir(parents=True)
        self.path(HOSTS).write_bytes(BEFORE)

    @property
    def hosts(self) -> bytes:
        return self.path(HOSTS).read_bytes()

    def addresses(self, name: str) -> list[str]:
        answer = self.dns_first.get(name) or self.cached.get(name)
        found = [answer] if answer else []
        for line in [] if answer else self.hosts.decode().split("\n"):
            address, *names = line.split("#")[0].split() or [""]
            found += [address] if name.lower() in (other.lower() for other in names) else []
        return found

    def listens(self, socket: str) -> None:
        """A cache is there for programs to ask."""
        self.path(socket).parent.mkdir(parents=True)
        self.path(socket).touch()

    def nscd(self, argv: tuple[str, ...]) -> Completed:
        self.cached.clear()
        return Completed(0, "", "")

    def shell(self, argv: tuple[str, ...]) -> Completed:
        return Completed(3, "", "no such unit\n") if self.reload_fails else Completed(0, "done\n", "")

    def reloads(self) -> int:
        return self.ran.count(("/bin/sh", "-c", RELOAD))


@pytest.fixture
def server(tmp_path: Path) -> WebServer:
    return WebServer(tmp_path)


def test_names_are_led_to_db_b_and_back_to_the_byte(server: WebServer) -> None:
    """The whole way of a server through a window, and no trace of pgleap in the file after it."""
    facts = hosts_file(managed(DB_B), server)
    assert server.hosts == ON_DB_B
    assert len(facts["changed"]) == 2
    assert facts["aliases left"] == {"db1": "10.77.0.11"}
    assert server.path(COPY).read_bytes() == BEFORE
    hosts_file(managed(DB_A), server)
    assert b"10.77.0.14 db2.internal.ln\n" in server.hosts
    facts = hosts_file(as_they_were(), server)
    assert server.hosts == BEFORE
    assert "to the byte" in facts["changed"][0]
    assert not server.path(COPY).exists()


@pytest.mark.parametrize("desired", [managed(DB_B, reload=RELOAD), as_they_were(reload=RELOAD)])
def test_a_second_run_changes_and_reloads_nothing(server: WebServer, desired: dict[str, Any]) -> None:
    """An `up` that reloads every web server each time drops their connections for nothing."""
    hosts_file(desired, server)
    inode, reloads = server.path(HOSTS).stat().st_ino, server.reloads()
    assert hosts_file(desired, server)["changed"] == []
    assert (server.path(HOSTS).stat().st_ino, server.reloads()) == (inode, reloads)


def test_mode_owner_and_labels_stay(server: WebServer) -> None:
    """A hosts file that only root can read leaves every other program without names."""
    path = server.path(HOSTS)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12, 34)
    try:
        os.setxattr(path, "user.label", b"kept")
    except OSError:
        pytest.skip("no extended attributes on this file system")
    before = path.stat()
    hosts_file(managed(DB_B), server)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert os.getxattr(path, "user.label") == b"kept"


def test_a_file_pgleap_never_changed_is_only_looked_at(server: WebServer) -> None:
    """At the first `prepare` nothing may change, and a name that leads elsewhere than the stack says must be found there."""
    assert hosts_file(as_they_were(), server)["changed"] == []
    with pytest.raises(Refusal, match=r"db1\.internal\.ln -> 10\.77\.0\.11"):
        hosts_file(as_they_were({**AS_BEFORE, "db1.internal.ln": "10.77.0.13"}), server)
    assert server.hosts == BEFORE
    assert not server.path(RECORD).exists()


def test_names_that_dns_answers_first_are_refused_and_the_file_put_back(server: WebServer) -> None:
    """The file says DB_B while every program goes on to the primary: the seal would then be the outage."""
    server.dns_first = {"db1.internal.ln": "10.77.0.11"}
    with pytest.raises(Refusal, match="put back") as refused:
        hosts_file(managed(DB_B, reload=RELOAD), server)
    assert "nsswitch" in refused.value.do
    assert "db1.internal.ln -> 10.77.0.11" in refused.value.found
    assert server.hosts == BEFORE
    assert server.reloads() == 0
    server.dns_first = {}
    assert hosts_file(as_they_were(), server)["because"].startswith("pgleap never changed")


def test_a_cache_forgets(server: WebServer) -> None:
    """A cache that answers with the old address for its time to live makes the move come minutes late."""
    server.cached = {"db1.internal.ln": "10.77.0.11"}
    server.listens("/run/nscd/socket")
    hosts_file(managed(DB_B), server)
    assert ("nscd", "-i", "hosts") in server.ran


def test_sssd_forgets_only_where_it_is_asked_for_hosts(server: WebServer) -> None:
    """Emptied for nothing, it looks up every user again, in the middle of the window."""
    server.listens("/var/lib/sss/pipes/nss")
    server.programs["sss_cache"] = server.nscd
    server.path("/etc/nsswitch.conf").write_text("passwd: files sss\nhosts: files dns\n")
    hosts_file(managed(DB_B), server)
    assert server.ran == []
    server.path("/etc/nsswitch.conf").write_text("hosts: files sss dns\n")
    hosts_file(managed(DB_A), server)
    assert server.ran == [("sss_cache", "-E")]


def test_a_cache_whose_program_is_missing_does_not_stop_the_move(server: WebServer) -> None:
    """A tool that is not installed must not leave the file changed and the step failed."""
    server.listens("/run/systemd/resolve/io.systemd.Resolve")
    assert hosts_file(managed(DB_B), server)["changed"]


def test_the_reload_command_runs_after_a_change_and_its_failure_is_told(server: WebServer) -> None:
    """A failed reload leaves a pool on the old database; were it forgotten, the next run would say that all is well."""
    server.reload_fails = True
    with pytest.raises(Refusal, match="systemctl reload myapp"):
        hosts_file(managed(DB_B, reload=RELOAD), server)
    assert server.hosts == ON_DB_B
    server.reload_fails = False
    assert hosts_file(managed(DB_B, reload=RELOAD), server)["changed"] == [f"ran {RELOAD}"]
    assert hosts_file(managed(DB_B, reload=RELOAD), server)["changed"] == []


def test_a_line_added_meanwhile_outlives_the_way_back(server: WebServer) -> None:
    """Putting the copy back would take away what an administrator added during the window."""
    hosts_file(managed(DB_B), server)
    server.path(HOSTS).write_bytes(server.hosts + b"10.0.0.7 cache\n")
    assert "others edited" in hosts_file(managed(DB_A), server)["notes"][0]
    assert server.path(COPY).read_bytes() == BEFORE + b"10.0.0.7 cache\n"
    hosts_file(as_they_were(), server)
    assert server.hosts == BEFORE + b"10.0.0.7 cache\n"


def test_a_file_that_someone_put_back_by_hand_is_as_it_was(server: WebServer) -> None:
    """The runbook's way out with a copy must not confuse the next run."""
    hosts_file(managed(DB_B), server)
    server.path(HOSTS).write_bytes(server.path(COPY).read_bytes())
    assert hosts_file(as_they_were(), server)["changed"] == []
    assert server.hosts == BEFORE


def test_edits_long_after_are_not_taken_for_ours(server: WebServer) -> None:
    """The record of the last window must not undo what an administrator did in the months since."""
    hosts_file(managed(DB_B), server)
    hosts_file(as_they_were(), server)
    server.path(HOSTS).write_bytes(BEFORE.replace(b" db1 # main", b" db1 main"))
    hosts_file(managed(DB_B), server)
    hosts_file(as_they_were(), server)
    assert server.hosts == BEFORE.replace(b" db1 # main", b" db1 main")


@pytest.mark.parametrize("unusual", ["link", "none"])
def test_what_is_no_plain_file_is_refused(server: WebServer, unusual: str) -> None:
    """Replacing a link would cut it off from the file that another tool goes on writing."""
    path = server.path(HOSTS)
    path.rename(path.with_name("real"))
    if unusual == "link":
        path.symlink_to("real")
    with pytest.raises(Refusal, match="a plain file"):
        hosts_file(managed(DB_B), server)


def test_a_file_that_cannot_be_replaced_is_refused_in_words(server: WebServer) -> None:
    """A container's mounted hosts file ends in a traceback otherwise, which no operator can act on."""
    whole = server.write_durably

    def busy(absolute: str, content: bytes, mode: int | None = None, owner: tuple[int, int] | None = None) -> None:
        if absolute == HOSTS:
            raise OSError(16, "Device or resource busy")
        whole(absolute, content, mode, owner)

    server.write_durably = busy  # type: ignore[method-assign]
    with pytest.raises(Refusal, match="Device or resource busy"):
        hosts_file(managed(DB_B), server)
    assert server.hosts == BEFORE


def edited(server: WebServer) -> None:
    server.path(HOSTS).write_bytes(server.hosts + b"10.0.0.7 cache\n")


def nothing(server: WebServer) -> None:
    pass


@pytest.mark.parametrize("writes", range(8))
@pytest.mark.parametrize("meanwhile", [nothing, edited])
@pytest.mark.parametrize(
    ("first", "then", "after"),
    [
        (None, managed(DB_B, reload=RELOAD), ON_DB_B),
        (managed(DB_B), managed(DB_A, reload=RELOAD), ON_DB_B.replace(b"10.77.0.12", b"10.77.0.14")),
        (managed(DB_B), as_they_were(reload=RELOAD), BEFORE),
    ],
)
def test_a_power_cut_before_any_write_is_healed_by_running_again(
    server: WebServer,
    first: dict[str, Any] | None,
    then: dict[str, Any],
    after: bytes,
    meanwhile: Callable[[WebServer], None],
    writes: int,
) -> None:
    """Half a change must never be taken for the file as it was, nor the reload be forgotten."""
    if first:
        hosts_file(first, server)
    meanwhile(server)
    added = b"10.0.0.7 cache\n" if meanwhile is edited else b""
    server.writes_left = writes
    try:
        hosts_file(then, server)
    except PowerCutError:
        assert server.hosts.startswith(b"127.0.0.1\tlocalhost\n"), "never a moment without the file"
    server.writes_left = None
    hosts_file(then, server)
    assert server.hosts == after + added
    assert server.reloads() >= 1
    assert hosts_file(then, server)["changed"] == []
    hosts_file(as_they_were(), server)
    assert server.hosts == BEFORE + added
    assert not server.path(COPY).exists()


@pytest.mark.parametrize("writes", range(5))
def test_turning_back_after_a_power_cut(server: WebServer, writes: int) -> None:
    """The way back begins wherever the way there ended."""
    server.writes_left = writes
    with pytest.raises(PowerCutError) if writes < 4 else pytest.raises(Refusal, match="nothing"):
        hosts_file(managed(DB_B), server)
        raise Refusal("", "nothing died", "")
    server.writes_left = None
    hosts_file(as_they_were(), server)
    assert server.hosts == BEFORE
