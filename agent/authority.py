"""Who may write: the decisions, pure. Each takes journals as they are read right before the act, and refuses in a sentence.

One database holds the authority. Old primary: holds -> sealed at fence F -> released to DB_A with the next epoch. DB_A: holds
that epoch. The authority is taken back once DB_A has renounced its epoch, and never otherwise: without having opened, or sealed
at a fence of its own, up to which the old primary must have followed before it opens.
"""

from __future__ import annotations

from typing import Optional

from agent import advice
from agent.journal import Authority, Fence, Journal
from agent.report import Refusal
from agent.states import Phase


def may_release(own: Journal, next_xid: int, other: Journal) -> Fence:
    """The fence at which the old primary may hand its authority to DB_A. Raises Refusal."""
    if own.must_apply is not None:
        return refuse_unless_sealed_at(own, own.must_apply, other)
    fence = proven(own, next_xid)
    if other.upgraded_at != fence:
        raise Refusal(
            f"DB_A upgraded from exactly this fence, transaction id {fence.xid}",
            f"DB_A was upgraded at {other.upgraded_at.xid if other.upgraded_at else 'no fence at all'}",
            f"go back: {advice.to(Phase.PREPARE, advice.higher(own.round))}",
        )
    return fence


def proven(own: Journal, next_xid: int) -> Fence:
    """The fence of a sealed database, if nothing was written since. Raises Refusal."""
    if own.authority not in (Authority.SEALED, Authority.RELEASED) or own.fence is None:
        raise Refusal(
            "the old primary sealed, with its fence recorded",
            f"its journal says: {own.authority.value}",
            f"have it sealed again: {advice.to(Phase.UPGRADE, advice.higher(own.round))}",
        )
    if next_xid != own.fence.xid:
        raise Refusal(
            f"nothing written since the fence, the next transaction id still {own.fence.xid}",
            f"it is {next_xid}: something wrote after the fence",
            _new_fence(own),
        )
    return own.fence


def _new_fence(own: Journal) -> str:
    """What to do once something wrote behind the seal."""
    round_ = advice.higher(own.round)
    upgrade = f"have a new fence taken, as long as DB_A is not promoted: {advice.to(Phase.UPGRADE, round_)}"
    if own.authority is Authority.RELEASED or own.phase is Phase.READONLY:
        return upgrade
    return f"{upgrade}; or, once it is promoted, go back: {advice.to(Phase.PREPARE, round_)}"


def may_open_upgrade_target(own: Journal, other: Journal, next_xid: int) -> int:
    """The epoch with which DB_A may open, from the old primary's journal and next transaction id. Raises Refusal."""
    if other.authority is not Authority.RELEASED:
        raise Refusal(
            "the old primary to have released its authority to DB_A",
            f"its journal says: {other.authority.value}",
            f"have it released: {advice.to(Phase.CUTOVER, advice.higher(own.round))}",
        )
    if other.epoch <= own.renounced:
        raise Refusal(
            f"a release newer than epoch {own.renounced}, which DB_A has renounced",
            f"epoch {other.epoch}",
            f"have it taken back, and released anew: {advice.over_upgrade(advice.higher(own.round))}",
        )
    if own.upgraded_at != proven(other, next_xid):
        raise Refusal(
            f"DB_A upgraded at the fence {other.fence}",
            f"DB_A was upgraded at {own.upgraded_at}",
            f"go back: {advice.back_over_upgrade(advice.higher(own.round))}",
        )
    return other.epoch


def refuse_unless_sealed_at(own: Journal, fence: Fence, other: Journal) -> Fence:
    """The fence, if DB_A, which had opened, is sealed at it and nothing else. Raises Refusal."""
    if other.authority is not Authority.SEALED or other.fence != fence:
        raise Refusal(
            f"DB_A sealed at its fence {fence}",
            f"its journal says: {other.authority.value}, fence {other.fence}",
            fence_again(own, other),
        )
    return fence


def refuse_unless_unmoved(own: Journal, fence: Fence, other: Journal, next_xid: int) -> None:
    """For a DB_A that had opened and is sealed: nothing was written there since its fence. Raises Refusal."""
    if next_xid != fence.xid:
        raise Refusal(
            f"nothing written on DB_A since its fence, the next transaction id still {fence.xid}",
            f"it is {next_xid}: somebody wrote there after the fence",
            fence_again(own, other),
        )


def fence_again(own: Journal, other: Journal) -> str:
    """The command that has DB_A, which had opened, take a new fence, up to which the old primary follows."""
    return f"have DB_A sealed and fenced again: {advice.to(Phase.UPGRADE, advice.higher(own.round, other.round))}"


def may_open_again(own: Journal, other: Journal, own_next_xid: int) -> int:
    """The epoch with which a DB_A that was sealed for the way back may open again: newly released, nothing written since its fence.

    Raises Refusal.
    """
    if other.authority is not Authority.RELEASED or other.epoch <= own.renounced:
        raise Refusal(
            f"the old primary to have released its authority anew, with an epoch above {own.renounced}",
            f"its journal says: {other.authority.value}, epoch {other.epoch}",
            f"have it taken back, and released anew: {advice.over_upgrade(advice.higher(own.round))}",
        )
    if own.fence is None or own_next_xid != own.fence.xid:
        raise Refusal(
            f"nothing written on DB_A since its own fence {own.fence}",
            f"the next transaction id is {own_next_xid}",
            f"have a new fence taken: {advice.over_upgrade(advice.higher(own.round))}",
        )
    return other.epoch


def may_open_without_old_primary(own: Journal) -> int:
    """The epoch with which DB_A may open though the old primary is lost: the one that its release would have had.

    DB_A was promoted at a fence that was proved then, or that it had replayed when the old primary was lost. Raises Refusal.
    """
    if own.upgraded_at is None:
        raise Refusal(
            "a DB_A that was upgraded at the old primary's fence",
            "it was not upgraded",
            f"have it upgraded first: {advice.to(Phase.UPGRADE, advice.higher(own.round))}",
        )
    return own.epoch + 1


def may_open_old_primary(own: Journal, target_given_up: bool = False) -> int:
    """The epoch with which the old primary may open again. It needs nothing of DB_A before the release, and after it either
    DB_A's renunciation (may_take_back) or a person's word that DB_A is lost with all that it took. Raises Refusal."""
    if own.authority is Authority.RELEASED and not target_given_up:
        raise Refusal(
            "the old primary to hold the authority, or to be sealed without having released it",
            f"it released its authority to DB_A (epoch {own.epoch})",
            f"go back one phase at a time: {advice.back_over_upgrade(advice.higher(own.round))}",
        )
    return own.epoch if own.authority is Authority.HOLDS else own.epoch + 1


def may_take_back(own: Journal, other: Journal) -> int:
    """The epoch with which the old primary is sealed again, with the authority, after a release. Raises Refusal."""
    if other.authority is Authority.HOLDS or other.renounced < own.epoch:
        raise Refusal(
            f"DB_A to have renounced epoch {own.epoch}",
            f"DB_A's journal says: {other.authority.value}, renounced up to epoch {other.renounced}",
            f"have DB_A renounce it first: {advice.to(Phase.UPGRADE, advice.higher(own.round, other.round))}",
        )
    return own.epoch + 1


def refuse_opened_target(own: Journal, other: Journal, name: str, here: str) -> None:
    """For the old primary (`here`), whatever its own journal says: DB_A (`name`) took writes that it did not come back from. Raises Refusal.

    A DB_A that opened on a release has the release's epoch, and coming back from that gives a higher one.
    """
    opened = other.authority in (Authority.HOLDS, Authority.SEALED)
    by_release = other.epoch <= own.epoch if own.authority is Authority.RELEASED else other.epoch < own.epoch
    wrong = other.alone or other.epoch > own.epoch or (opened and not by_release)
    if other.authority is Authority.HOLDS and own.authority is not Authority.RELEASED:
        wrong = True
    if wrong:
        raise Refusal(
            f"{name} not to have opened without this server",
            f"{name}'s journal says: {other.authority.value}, epoch {other.epoch}{', without the old primary' if other.alone else ''};"
            f" this server's: {own.authority.value}, epoch {own.epoch}: {name} has taken writes that are not here",
            f"power {here} off, or empty it: it can serve again only made anew, as a new replica of {name}; to go on with {name}:"
            f" {advice.lost(here, advice.to(onwards(other), advice.higher(own.round, other.round)))}",
        )


def onwards(other: Journal) -> Phase:
    """Where a DB_A that opened without the old primary stands, or opens again."""
    return other.phase if other.phase in (Phase.REPLICAS, Phase.RETIRE) else Phase.CUTOVER


def refuse_unless_it_holds(theirs: Journal) -> None:
    """A DB_A that had opened is built anew only once the old primary takes writes again. Raises Refusal."""
    if theirs.authority is not Authority.HOLDS:
        raise Refusal(
            "the old primary to hold the authority again, before a DB_A that had opened is built anew",
            f"its journal says: {theirs.authority.value}",
            f"go to prepare from its beginning: {advice.to(Phase.PREPARE, advice.higher(theirs.round))}",
        )


def refuse_to_seal_open_target(own: Optional[Journal]) -> None:
    """DB_A, once open, holds writes: it is sealed on the way from cutover to upgrade, and built anew by nothing else."""
    if own is not None and own.authority is Authority.HOLDS:
        raise Refusal(
            "a DB_A that is not open",
            f"DB_A holds the authority (epoch {own.epoch}) and takes writes",
            "it was given up as lost, and has come back: save from it what is needed, give pgleap an empty server instead, then:"
            f" {advice.to(Phase.PREPARE, advice.higher(own.round))}",
        )
