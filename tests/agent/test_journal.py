"""The journal as a file: two writers, a writer that died, another machine's, an older one, and those of before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent import announce, authority, identity, journal
from agent.__main__ import WINDOW
from agent.journal import JOURNAL_FILE, Authority, Fence, Journal
from agent.report import Refusal
from agent.server import Server
from agent.states import Phase

OWN = Journal(Phase.UPGRADE, 1, False, Authority.NONE, 0)
# As a release of before it was kept whose a journal is wrote it.
OLD_KEYS = ("phase", "round", "finished", "authority", "epoch", "fence", "upgraded_at", "renounced", "must_apply")


def a_machine(folder: Path, machine_id: str, product: str = "") -> Server:
    for source, text in zip(identity.SOURCES, (machine_id, product), strict=True):
        path = folder / source.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return Server(folder)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return a_machine(tmp_path, "0123456789abcdef")


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if "pgleap" in path.name)


def test_an_announcement_beside_a_units_update_loses_neither(server: Server) -> None:
    """With one temporary name for both the file is torn, and every verb after that ends in a traceback."""
    journal.write(server, OWN)
    wrong: list[BaseException] = []
    over = threading.Event()
    applied: list[int] = []

    def unit() -> None:
        try:
            while not over.is_set():
                time.sleep(
                    0.002
                )  # a lock is nobody's turn: without this the other one might wait for its whole patience
                applied.append(len(applied) + 1)
                own = journal.update(server, upgraded_at=Fence(applied[-1], "0/1" * (1 + applied[-1] % 40)))
                assert own.upgraded_at is not None
                assert own.upgraded_at.xid == applied[-1]
        except BaseException as error:
            wrong.append(error)

    beside = threading.Thread(target=unit)
    beside.start()
    try:
        for round_ in range(2, 80):
            announce.announce({"phase": "upgrade", "round": round_, "side": "DB_A"}, server)
    finally:
        over.set()
        beside.join()
    assert wrong == []
    found = journal.must_read(server)
    assert (found.round, found.upgraded_at and found.upgraded_at.xid) == (79, applied[-1])


def test_files_of_two_processes_are_whole(tmp_path: Path) -> None:
    """A rule file is written under another lock than the unit's: whichever is last, it is no mixture."""
    program = (
        "import sys; from pathlib import Path; from agent.server import Server\n"
        "for _ in range(30): Server(Path(sys.argv[1])).write_durably('/etc/file', sys.argv[2].encode() * 50_000)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), letter], cwd=Path(__file__).parents[2])
        for letter in "ab"
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        path = tmp_path / "etc/file"
        if path.exists():
            seen.add(path.read_bytes())
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {b"a" * 50_000, b"b" * 50_000}
    assert left_over(tmp_path / "etc") == []


def test_what_a_dead_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    """In a data folder a file that only root reads stops every base backup."""
    server = Server(tmp_path)
    server.write_durably("/data/postgresql.auto.conf", b"one")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = tmp_path / f"data/.postgresql.auto.conf.pgleap-{os.getpid()}-999"
    others = tmp_path / f"data/.postgresql.auto.conf.pgleap-{gone.pid}-0"
    old = tmp_path / "data/.postgresql.auto.conf.pgleap"
    for path in (mine, others, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    server.write_durably("/data/postgresql.auto.conf", b"two")
    assert left_over(tmp_path / "data") == [mine.name], "it may be at work at this moment"
    assert (tmp_path / "data/postgresql.auto.conf").read_bytes() == b"two"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is not to be kept full."""
    server = Server(tmp_path)
    server.write_durably("/etc/file", b"one")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            server.write_durably("/etc/file", b"two")
    assert left_over(tmp_path / "etc") == []
    assert (tmp_path / "etc/file").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("machine_id", "product"), [("fedcba9876543210", ""), ("0123456789abcdef", "4C4C4544-0042")], ids=["id", "clone"]
)
def test_a_copy_of_a_server_is_not_the_server(server: Server, tmp_path: Path, machine_id: str, product: str) -> None:
    """A clone whose journal says `holds` would open beside the server that it was made from."""
    journal.write(server, replace(OWN, authority=Authority.HOLDS))
    clone = a_machine(tmp_path, machine_id, product)
    for reads in (journal.must_read, lambda one: journal.update(one, finished=True)):
        with pytest.raises(Refusal, match="a copy of it, or its disk was put here") as refused:
            reads(clone)
    # The way out that it prints, as it is typed.
    *_, program, word = refused.value.do.split()
    assert program == WINDOW.installed
    module, function = WINDOW.units[word]
    assert (module, function) == ("journal", "adopt")
    journal.adopt(clone)
    assert journal.must_read(clone).authority is Authority.HOLDS


def test_a_journal_of_before_is_read_and_becomes_this_machines(server: Server) -> None:
    """A fleet in the middle of its move gets the new agent."""
    full = replace(OWN, must_apply=Fence(7, "0/7")).to_json()
    server.write_json(JOURNAL_FILE, {key: full[key] for key in OLD_KEYS})
    own = journal.must_read(server)
    assert (own.machine, own.cluster, own.serial, own.seen, own.alone) == ("", "", 0, None, False)
    assert own.must_apply == Fence(7, "0/7")
    assert journal.update(server, finished=True).machine == identity.of_machine(server) != ""
    assert journal.must_read(server).serial == 1


def test_a_journal_that_is_torn_is_a_refusal(server: Server) -> None:
    """A traceback tells nobody what to do."""
    server.write_durably(JOURNAL_FILE, b'{"phase": "prep')
    with pytest.raises(Refusal, match="a journal that can be read"):
        journal.read(server)


def test_an_older_image_is_told_by_what_the_other_side_saw(server: Server) -> None:
    """It says sealed, or nothing, of what it has opened since."""
    own = journal.write(server, OWN)
    later = own
    for _ in range(3):
        later = journal.update(server, finished=True)
    theirs = replace(OWN, seen=journal.seen(later))
    authority.refuse_older_target(later, theirs, "db-a")
    authority.refuse_older_target(own, replace(theirs, seen=journal.Seen("another", 99)), "db-a")
    authority.refuse_older_target(own, OWN, "db-a")
    with pytest.raises(Refusal, match="restored from an older image"):
        authority.refuse_older_target(own, theirs, "db-a")


def test_a_clusters_identifier_is_read_from_its_file(tmp_path: Path) -> None:
    """Data of another cluster under this journal would be opened for what it is not."""
    control = tmp_path / "data/global/pg_control"
    assert identity.of_cluster(Server(tmp_path), "/data") == ""
    control.parent.mkdir(parents=True)
    control.write_bytes((7_400_000_000_000_000_001).to_bytes(8, sys.byteorder) + b"rest")
    assert identity.of_cluster(Server(tmp_path), "/data") == "7400000000000000001"


def test_the_journal_that_is_written_is_the_one_that_is_handed_back(server: Server) -> None:
    """Who goes on with another one than stands on the disk decides by what is not so."""
    journal.write(server, OWN)
    changed = journal.update(server, round=2)
    assert changed == journal.must_read(server)
    assert json.loads(server.path(JOURNAL_FILE).read_bytes())["serial"] == 2
