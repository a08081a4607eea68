"""pgleap's blocks in rule files that others edit, too. Pure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent import access, client_rules, uninstall
from agent.client_rules import BEGIN, END, REHEARSAL_BEGIN, REHEARSAL_END, SEALED, STANDBYS_BEGIN, STANDBYS_END
from agent.cluster import from_desired
from agent.postgres import Postgres
from agent.report import Refusal
from tests.agent.fake_server import FakeServer

HBA = "# comment\nlocal all postgres peer\nhost all all 10.0.0.0/8 scram-sha-256\n"
NEW = "host all reporting 10.9.0.0/16 scram-sha-256\n"
READERS = ["10.0.0.4"]
SEALED_HBA = client_rules.with_rules(HBA, READERS, sealed=True)
OPEN_HBA = client_rules.with_rules(HBA, READERS, sealed=False)
IDENT = "site root app\n"


def test_a_line_put_above_the_block_leaves_no_second_block_behind() -> None:
    """The first block was written anew above the old one, whose `reject` then shut every client out of the open database."""
    assert client_rules.with_rules(NEW + SEALED_HBA, READERS, sealed=False) == client_rules.with_rules(
        NEW + HBA, READERS, sealed=False
    )
    assert client_rules.without_rules(NEW + SEALED_HBA) == NEW + HBA


def test_every_block_is_found_wherever_it_stands() -> None:
    """A configuration tool appended yesterday's file to today's."""
    twice = NEW + OPEN_HBA + "# theirs\n" + SEALED_HBA
    assert client_rules.without_rules(twice) == NEW + HBA + "# theirs\n" + HBA
    assert client_rules.with_rules(twice, READERS, sealed=True).count(BEGIN) == 1


@pytest.mark.parametrize(
    "edited",
    [
        SEALED_HBA.replace("\n", "\r\n"),
        SEALED_HBA.replace(BEGIN, BEGIN.rstrip() + "  \n").replace(END, END.rstrip() + "\t\n"),
        HBA + SEALED_HBA[: SEALED_HBA.index(END)] + END.rstrip(),
    ],
    ids=["line ends of another system", "blanks at line ends", "at the end, without a line end"],
)
def test_a_block_with_other_white_space_is_the_same_block(edited: str) -> None:
    """An editor that turned line ends made the block somebody else's, and its `reject` stayed."""
    assert client_rules.is_sealed(edited)
    assert client_rules.with_rules(edited, READERS, sealed=False).count(BEGIN.rstrip()) == 1
    assert "local all all reject" not in client_rules.with_rules(edited, READERS, sealed=False)


@pytest.mark.parametrize(
    "edited",
    [
        NEW + SEALED_HBA,
        SEALED_HBA.replace("host all all all reject\n", ""),
        SEALED_HBA.replace("local all all reject\n", "local all all peer\n"),
        SEALED_HBA.replace(SEALED, SEALED + NEW),
        SEALED_HBA.replace(SEALED, SEALED + "# theirs\n"),
    ],
    ids=["a line above", "a line taken out", "a line changed", "a line before the end", "a comment before the end"],
)
def test_an_edited_seal_is_a_seal_that_does_not_hold(edited: str) -> None:
    """Taken for no seal, the next step opened the database; taken for a whole one, clients got in through the gap."""
    assert client_rules.is_sealed(edited)
    assert not client_rules.holds(edited)
    again = client_rules.with_rules(edited, READERS, client_rules.is_sealed(edited))
    assert client_rules.holds(again)


def test_the_seal_that_pgleap_writes_holds() -> None:
    """Whoever says otherwise seals, and ends sessions, at each step."""
    assert client_rules.holds(SEALED_HBA)
    assert not client_rules.holds(OPEN_HBA)
    assert not client_rules.holds(HBA)


def test_an_edited_line_is_put_right() -> None:
    """The other side's address was changed by hand, and DB_A stood still."""
    assert client_rules.with_rules(OPEN_HBA.replace("10.0.0.4", "10.0.0.5"), READERS, sealed=False) == OPEN_HBA


@pytest.mark.parametrize(
    ("begin", "end", "take_out"),
    [
        (BEGIN, END, client_rules.without_rules),
        (STANDBYS_BEGIN, STANDBYS_END, client_rules.without_standbys),
        (REHEARSAL_BEGIN, REHEARSAL_END, client_rules.without_rehearsal),
    ],
    ids=["pgleap's", "standbys'", "a rehearsal's"],
)
def test_half_a_block_is_refused_by_name(begin: str, end: str, take_out: Callable[[str], str]) -> None:
    """Which of the lines are the fleet's is not to be told: a guess takes away a rule, or leaves a `reject` in force."""
    whole = f"{begin}local all all reject\n{end}"
    for half in (begin + HBA, end + HBA, HBA + end, begin + whole + HBA, whole + HBA + begin):
        with pytest.raises(Refusal, match="block in pg_hba"):
            take_out(half)
    assert take_out(HBA + whole + NEW + whole) == HBA + NEW


def test_blocks_of_three_kinds_stand_in_their_order_again() -> None:
    """A replica's rule above the seal lets nobody in; a rehearsal's above pgleap's own would not, either, but a client's does."""
    standbys = client_rules.with_standbys(OPEN_HBA, "replicator", ["10.0.0.7"], "md5")
    both = client_rules.with_rehearsal(standbys, "10.0.0.4")
    moved = client_rules.with_rules(NEW + both, READERS, sealed=True)
    assert client_rules.holds(moved)
    again = client_rules.with_rehearsal(
        client_rules.with_standbys(moved, "replicator", ["10.0.0.7"], "md5"), "10.0.0.4"
    )
    places = [again.index(mark) for mark in (BEGIN, REHEARSAL_BEGIN, STANDBYS_BEGIN, NEW)]
    assert places == sorted(places)
    assert again.count(STANDBYS_BEGIN) == again.count(REHEARSAL_BEGIN) == 1
    plain = client_rules.without_rules(client_rules.without_standbys(client_rules.without_rehearsal(again)))
    assert plain == NEW + HBA


def test_the_identities_are_one_block_too() -> None:
    """A map of the fleet's above the block left two, and uninstall took one away."""
    ours = client_rules.with_identities(IDENT)
    assert client_rules.with_identities(IDENT + ours) == client_rules.with_identities(IDENT + IDENT)
    assert client_rules.without_rules(IDENT + ours) == IDENT + IDENT


def test_a_retired_server_is_sealed_whatever_became_of_its_block() -> None:
    """Without a block nothing was written, and the server that stops let clients in to the last."""
    for text in (HBA, OPEN_HBA, NEW + OPEN_HBA, NEW + SEALED_HBA):
        sealed = client_rules.with_seal(text, sealed=True)
        assert client_rules.holds(sealed)
        assert not client_rules.is_sealed(client_rules.with_seal(sealed, sealed=False))


def postgres(root: Path, hba: Path) -> Postgres:
    """A cluster that keeps its rules there."""
    config = root / "etc/postgresql/15/main"
    config.mkdir(parents=True)
    (config / "pg_ident.conf").write_text(IDENT)
    (config / "pg_hba.conf").symlink_to(hba)
    debian = {"version": 15, "layout": "debian", "cluster": "main", "port": 5432, "superuser": "postgres"}
    return Postgres(FakeServer(root), from_desired(debian), "10.0.0.1")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """A plain file in its place was a fork of the company's rules, and stayed so after pgleap was gone."""
    hba = tmp_path / "srv/pg_hba.conf"
    hba.parent.mkdir()
    hba.write_text(HBA)
    mine = postgres(tmp_path, hba)
    file = mine.server.path(mine.cluster.hba_file)
    assert access.write_rules(mine.server, mine.cluster, READERS, sealed=True)
    assert file.is_symlink()
    assert client_rules.holds(hba.read_text())
    assert uninstall._take_away_rules(mine.server, mine.cluster)
    assert (file.is_symlink(), hba.read_text()) == (True, HBA)
    assert mine.server.path(mine.cluster.ident_file).read_text() == IDENT


def test_a_file_that_cannot_be_replaced_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback names no file and no way out."""
    hba = tmp_path / "pg_hba.conf"
    hba.write_text(HBA)
    mine = postgres(tmp_path, hba)

    def immutable(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(FakeServer, "write_durably", immutable)
    for act in (
        lambda: access.write_rules(mine.server, mine.cluster, READERS, sealed=True),
        lambda: access.put(mine.server, mine.cluster.hba_file, ""),
    ):
        with pytest.raises(Refusal, match="to be replaced"):
            act()


@pytest.mark.parametrize("setting", ["hba_file", "ident_file"])
def test_rules_that_postgresql_reads_elsewhere_are_refused_before_any_is_written(
    tmp_path: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written there let nobody in, and the refusal was about a login."""
    hba = tmp_path / "pg_hba.conf"
    hba.write_text(HBA)
    mine = postgres(tmp_path, hba)
    read = {
        "hba": mine.cluster.hba_file,
        "ident": mine.cluster.ident_file,
        setting.removesuffix("_file"): "/etc/site.conf",
    }
    monkeypatch.setattr(Postgres, "is_running", lambda _: True)
    monkeypatch.setattr(Postgres, "answers", lambda _: None)
    monkeypatch.setattr(Postgres, "row", lambda *_: read)
    with pytest.raises(Refusal, match="to read its rules from") as refused:
        access.have_way_in(mine, READERS)
    assert refused.value.found == f"{setting} is /etc/site.conf"
    assert hba.read_text() == HBA
