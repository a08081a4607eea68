"""pgleap's blocks in rule files that others edit, too. Pure."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent import client_rules
from agent.client_rules import BEGIN, END, REHEARSAL_BEGIN, REHEARSAL_END, SEALED, STANDBYS_BEGIN, STANDBYS_END
from agent.report import Refusal

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
