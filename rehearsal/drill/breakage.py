"""What is broken on the lab's servers, each for as long as a `with` lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rehearsal.data.fill import Psql
from rehearsal.drill.expect import expect
from rehearsal.lab import network
from rehearsal.lab.fleet import OPERATOR_ADDRESS
from rehearsal.lab.hosts import Host
from rehearsal.lab.place import call

FILLER = "/var/lib/postgresql/filler"


def give_small_disk(host: Host, megabytes: int) -> None:
    """A file system of its own for PostgreSQL's data, before there is any; it goes with the host."""
    host.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", "/var/lib/postgresql"])
    host.run(["chown", "postgres:postgres", "/var/lib/postgresql"])


@contextmanager
def full_disk(host: Host, leaving: int) -> Iterator[None]:
    """The file system with PostgreSQL's data full but for `leaving` megabytes."""
    fill = f"fallocate -l $(( $(df --output=avail -B1 /var/lib/postgresql | tail -1) - {leaving} * 1048576 )) {FILLER}"
    host.run(["sh", "-ec", fill])
    try:
        yield
    finally:
        host.run(["rm", FILLER])


@contextmanager
def off_the_network(host: Host) -> Iterator[None]:
    """A server that nobody reaches, and that reaches nobody."""
    inside = ("ip", "-n", network.namespace(host.server))
    call(*inside, "link", "set", "eth0", "down")
    try:
        yield
    finally:
        call(*inside, "link", "set", "eth0", "up")
        call(*inside, "route", "replace", "default", "via", OPERATOR_ADDRESS)


@contextmanager
def mute_sshd(host: Host) -> Iterator[None]:
    """The server's sshd accepts connections and never says a word."""
    main = host.run(["systemctl", "show", "--property=MainPID", "--value", "ssh.service"]).strip()
    host.run(["kill", "-STOP", main])
    try:
        yield
    finally:
        host.run(["kill", "-CONT", main])


@contextmanager
def cut(one: Host, other: Host) -> Iterator[None]:
    """Whatever `one` sends to `other` is lost, without a word: neither hears the other answer."""
    hole = ("ip", "-n", network.namespace(one.server), "route")
    call(*hole, "add", "blackhole", other.server.address)
    try:
        yield
    finally:
        call(*hole, "del", "blackhole", other.server.address)


@contextmanager
def cut_once(happened: Callable[[], bool], one: Host, other: Host) -> Iterator[None]:
    """The same, from the moment on in which something has happened."""
    over, failed = threading.Event(), threading.Event()

    def watch() -> None:
        while not happened():
            if over.is_set():
                failed.set()
                return
            time.sleep(0.001)
        with cut(one, other):
            over.wait()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
    expect(not failed.is_set(), "it never happened, so nothing was cut")


@contextmanager
def left_prepared(psql: Psql, name: str) -> Iterator[None]:
    """A transaction in `shop` that somebody prepared and left."""
    psql("shop", f"BEGIN; CREATE TABLE held (); PREPARE TRANSACTION '{name}'")
    try:
        yield
    finally:
        psql("shop", f"ROLLBACK PREPARED '{name}'")


@contextmanager
def replay_paused(psql: Psql) -> Iterator[None]:
    """A standby that receives and does not replay."""
    psql("postgres", "SELECT pg_wal_replay_pause()")
    try:
        yield
    finally:
        psql("postgres", "SELECT pg_wal_replay_resume()")


@contextmanager
def without_library(host: Host, file: str) -> Iterator[None]:
    """A file of an installed package is gone."""
    host.run(["mv", file, f"{file}.away"])
    try:
        yield
    finally:
        host.run(["mv", f"{file}.away", file])


def cut_ssh(host: Host) -> None:
    """End every SSH connection to this server, as a network that drops them does; what they started goes on, if it can."""
    listed = host.run(["ps", "-eo", "pid=,args="])
    # The listening sshd is spared; a session's own processes all name the user.
    pids = [line.split()[0] for line in listed.splitlines() if "sshd" in line and "deploy" in line]
    expect(pids, f"nobody is logged in:\n{listed}")
    host.run(["kill", "-KILL", *pids])
