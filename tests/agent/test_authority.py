"""Who may write: every decision, with the journals that must make it refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent import authority
from agent.journal import Authority, Fence, Journal
from agent.report import Refusal
from agent.states import Phase

FENCE = Fence(xid=1000, lsn="0/3000000")
SEALED = Journal(Phase.UPGRADE, 1, True, Authority.SEALED, epoch=1, fence=FENCE)
RELEASED = replace(SEALED, phase=Phase.CUTOVER, authority=Authority.RELEASED, epoch=2)
TARGET = Journal(Phase.CUTOVER, 1, False, Authority.NONE, epoch=0, upgraded_at=FENCE)


def test_release_and_opening_follow_the_fence() -> None:
    assert authority.may_release(SEALED, 1000, TARGET) == FENCE
    assert authority.may_open_upgrade_target(TARGET, RELEASED, 1000) == 2


@pytest.mark.parametrize(
    ("own", "next_xid", "other"),
    [
        (SEALED, 1001, TARGET),
        (replace(SEALED, authority=Authority.HOLDS), 1000, TARGET),
        (SEALED, 1000, replace(TARGET, upgraded_at=None)),
        (SEALED, 1000, replace(TARGET, upgraded_at=Fence(999, "0/2000000"))),
    ],
    ids=["something was written", "not sealed", "DB_A not upgraded", "DB_A upgraded at another fence"],
)
def test_no_release_if_a_write_would_be_missing(own: Journal, next_xid: int, other: Journal) -> None:
    """A release then would lose an acknowledged write."""
    with pytest.raises(Refusal):
        authority.may_release(own, next_xid, other)


@pytest.mark.parametrize(
    ("own", "other", "next_xid"),
    [
        (TARGET, SEALED, 1000),
        (TARGET, replace(RELEASED, authority=Authority.HOLDS), 1000),
        (TARGET, RELEASED, 1001),
        (replace(TARGET, upgraded_at=None), RELEASED, 1000),
        (replace(TARGET, renounced=2), RELEASED, 1000),
    ],
    ids=["not released", "old primary open", "written after the fence", "not upgraded", "renounced"],
)
def test_the_target_never_opens_beside_another(own: Journal, other: Journal, next_xid: int) -> None:
    """Two databases that take writes."""
    with pytest.raises(Refusal):
        authority.may_open_upgrade_target(own, other, next_xid)


def test_the_old_primary_opens_again_until_it_has_released() -> None:
    """Before the release DB_A need not even be reachable; after it, opening would make two."""
    assert authority.may_open_old_primary(SEALED) == 2
    with pytest.raises(Refusal, match="phase upgrade"):
        authority.may_open_old_primary(RELEASED)


def test_a_release_is_taken_back_only_once_it_was_renounced() -> None:
    """DB_A could open a moment later on a release that was taken back behind its back."""
    assert authority.may_take_back(RELEASED, replace(TARGET, renounced=2)) == 3
    with pytest.raises(Refusal):
        authority.may_take_back(RELEASED, TARGET)
    with pytest.raises(Refusal):
        authority.may_take_back(RELEASED, replace(TARGET, renounced=2, authority=Authority.HOLDS))


def test_an_open_target_is_never_sealed_for_the_way_back() -> None:
    """It holds writes that no other database has."""
    authority.refuse_to_seal_open_target(TARGET)
    with pytest.raises(Refusal, match="takes writes"):
        authority.refuse_to_seal_open_target(replace(TARGET, authority=Authority.HOLDS))


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (replace(SEALED, authority=Authority.HOLDS), replace(TARGET, authority=Authority.HOLDS, epoch=2)),
        (SEALED, replace(TARGET, authority=Authority.HOLDS, epoch=2)),
        (SEALED, replace(TARGET, authority=Authority.HOLDS, epoch=1)),
        (SEALED, replace(TARGET, authority=Authority.SEALED, epoch=2, renounced=2)),
        (SEALED, replace(TARGET, epoch=2)),
        (replace(SEALED, epoch=5), replace(TARGET, authority=Authority.SEALED, epoch=2, alone=True)),
        (RELEASED, replace(TARGET, authority=Authority.HOLDS, epoch=2, alone=True)),
        (RELEASED, replace(TARGET, authority=Authority.HOLDS, epoch=3)),
    ],
    ids=[
        "both",
        "open",
        "open, of an old epoch",
        "sealed after it was open",
        "epoch",
        "alone",
        "alone, released",
        "later release",
    ],
)
def test_a_db_a_that_took_writes_keeps_the_old_primary_as_it_is(own: Journal, other: Journal) -> None:
    """What the old primary's own journal says is of before."""
    with pytest.raises(Refusal, match=r"servers\.db1\.lost true && pulumi config set phase cutover"):
        authority.refuse_opened_target(own, other, "db-a", "db1")


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (SEALED, TARGET),
        (SEALED, replace(TARGET, epoch=1, fence=FENCE)),
        (RELEASED, replace(TARGET, authority=Authority.HOLDS, epoch=2)),
        (RELEASED, replace(TARGET, renounced=2)),
        (replace(SEALED, epoch=3, must_apply=FENCE), replace(TARGET, authority=Authority.SEALED, epoch=2, renounced=2)),
        (
            replace(SEALED, authority=Authority.HOLDS, epoch=4),
            replace(TARGET, authority=Authority.SEALED, epoch=2, renounced=2),
        ),
    ],
    ids=["upgraded", "remembers the fence", "opened on its release", "renounced", "on the way back", "come back from"],
)
def test_a_db_a_that_it_came_back_from_holds_nobody_up(own: Journal, other: Journal) -> None:
    """A refusal there would be a dead end."""
    authority.refuse_opened_target(own, other, "db-a", "db1")
