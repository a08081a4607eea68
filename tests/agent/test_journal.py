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

from agent import announce, identity, journal, older_image
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


RELEASED = replace(OWN, authority=Authority.RELEASED, epoch=2, fence=Fence(1000, "0/1"))


def test_an_older_image_is_told_by_what_the_other_side_saw(server: Server) -> None:
    """It says sealed, or nothing, of what it has opened since."""
    own = journal.write(server, OWN)
    later = journal.update(server, finished=True)
    theirs = replace(RELEASED, seen=journal.seen(later))
    older_image.refuse_older_target(later, theirs, "db-a")
    older_image.refuse_older_target(own, RELEASED, "db-a")
    with pytest.raises(Refusal, match="restored from an older image"):
        older_image.refuse_older_target(own, theirs, "db-a")
    # The old primary waits for nothing of DB_A: it is only built anew.
    older_image.refuse_older_target(own, replace(theirs, authority=Authority.HOLDS), "db-a")
    with pytest.raises(Refusal, match="restored from an older image"):
        older_image.refuse_older_target(
            own, replace(theirs, authority=Authority.SEALED, must_apply=Fence(1, "0/1")), "db-a"
        )


def test_an_older_image_does_not_become_the_newer_journal_by_being_written(server: Server) -> None:
    """Its count of writes comes to the same number, and it is opened without what was acknowledged since."""
    image = journal.write(server, OWN)
    theirs = replace(RELEASED, seen=journal.seen(journal.update(server, finished=True)))
    server.write_json(JOURNAL_FILE, image.to_json())
    for round_ in range(2, 9):
        again = journal.update(server, round=round_)
    assert theirs.seen is not None
    assert again.serial > theirs.seen.serial
    with pytest.raises(Refusal, match="restored from an older image"):
        older_image.refuse_older_target(again, theirs, "db-a")


def test_a_journal_that_was_written_more_often_than_marks_are_kept_is_no_older_image(server: Server) -> None:
    """DB_A looks at the old primary's once, when it opens; a fleet that stays in cutover with a new round each night would be refused one day."""
    seen = journal.seen(journal.write(server, RELEASED))
    for round_ in range(journal.MARKS_KEPT + 5):
        own = journal.write(server, replace(journal.must_read(server), round=round_))
        assert journal.has_been(own, seen), round_
    assert not journal.has_been(replace(own, serial=seen.serial + journal.MARKS_KEPT - 1), seen)


def test_an_older_old_primary_is_told_by_what_db_a_saw(server: Server) -> None:
    """Only a DB_A that has opened was told anything that counts."""
    own = journal.write(server, RELEASED)
    later = journal.update(server, finished=True)
    opened = replace(OWN, authority=Authority.HOLDS, epoch=2, seen=journal.seen(later))
    older_image.refuse_older_primary(later, opened, "db1")
    older_image.refuse_older_primary(own, replace(opened, authority=Authority.NONE), "db1")
    with pytest.raises(Refusal, match=r"servers\.db1\.lost true && pulumi config set phase cutover"):
        older_image.refuse_older_primary(own, opened, "db1")


def test_what_a_version_of_before_saw_is_compared_as_it_was(server: Server) -> None:
    """A fleet in the middle of its move gets the new agent: counts are all that there is, and of another machine nothing."""
    own = journal.write(server, OWN)
    for seen, older in ((journal.Seen(own.machine, 99), True), (journal.Seen(own.machine, 1), False)):
        as_before = {**replace(RELEASED, seen=seen).to_json(), "seen": {"machine": seen.machine, "serial": seen.serial}}
        theirs = journal.from_json(as_before)
        assert theirs.seen == seen
        assert journal.has_been(own, seen) is not older
    older_image.refuse_older_target(own, replace(RELEASED, seen=journal.Seen("another", 99)), "db-a")


def test_what_changes_nothing_is_not_written(server: Server) -> None:
    """Each write would be another journal to the other side, which has seen the one before."""
    own = journal.write(server, OWN)
    assert journal.update(server, round=OWN.round) == own
    assert journal.must_read(server).serial == own.serial
    assert journal.update(server, seen=journal.Seen("m", 1, "aa")).serial == own.serial + 1


def test_a_release_that_was_used_up_is_good_for_no_other_opening() -> None:
    """An older image of DB_A says that it never opened, and the next transaction id of the old primary that it has."""
    older_image.refuse_used_up(RELEASED, OWN, 1000, "db-a")
    older_image.refuse_used_up(RELEASED, replace(OWN, authority=Authority.HOLDS), 1001, "db-a")
    with pytest.raises(Refusal, match="db-a had opened, and was restored from an older image"):
        older_image.refuse_used_up(RELEASED, OWN, 1001, "db-a")


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
