"""The old primary's client gate: sealing, fence, release, and opening again, also after DB_A had opened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Mapping

from agent import (
    access,
    advice,
    asked_live,
    authority,
    coming_back,
    consumers,
    journal,
    loss,
    old_replicas,
    older_image,
    seal,
    slots,
)
from agent.coming_back import Wanted
from agent.gate_facts import facts_of, refuse_a_replica
from agent.journal import Authority, Fence, Journal
from agent.other_side import OtherSide
from agent.own_names import SLOT
from agent.postgres import Postgres
from agent.report import Facts, Refusal, progress
from agent.states import Gate, Phase


def bring(gate: Gate, desired: Mapping[str, Any], postgres: Postgres, other: OtherSide) -> Facts:
    """Bring it to `gate`; `other` is DB_A. Raises Refusal."""
    own = journal.must_read(postgres.server)
    asked_live.refuse_another_cluster(own, postgres)
    access.refuse_managers(postgres.server)
    access.have_way_in(postgres, desired["readers"])
    refuse_a_replica(postgres)
    if gate is Gate.OPEN:
        return _open(desired, postgres, own, other)
    if gate is Gate.SEALED:
        return _seal(desired, postgres, own, other)
    return _release(desired, postgres, own, other)


def _seal(desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide) -> Facts:
    server = postgres.server
    changed: List[str] = []
    if own.authority is Authority.RELEASED:
        own = _take_back(desired, own, other, postgres)
        changed.append("took the authority back from DB_A, which renounced it")
    if own.must_apply is not None:
        return _stay_sealed(desired, postgres, own, other, changed)
    unmoved = own.fence is not None and seal.next_xid(postgres) == own.fence.xid
    if own.authority is Authority.SEALED and unmoved and seal.is_whole(postgres) is None:
        return facts_of(
            changed,
            "it is sealed, and nothing was written since its fence",
            own,
            consumers.told(postgres.server, own.fence),
        )
    seal.refuse_other_writers(postgres)
    progress("refusing clients: from here on writes are refused")
    changed += seal.seal(postgres, desired["readers"], float(desired["graceSeconds"]))
    fence = seal.take_fence(postgres)
    if own.fence is None or own.fence.xid != fence.xid:
        own = journal.update(server, authority=Authority.SEALED, fence=fence)
        changed.append(f"fence at transaction id {fence.xid}, {fence.lsn}")
    return facts_of(changed, "it was not sealed, or its seal was not whole", own, consumers.told(server, own.fence))


def _take_back(desired: Mapping[str, Any], own: Journal, other: OtherSide, postgres: Postgres) -> Journal:
    """Sealed again, with the authority; if DB_A had opened, what it wrote has to be applied before this database opens."""
    theirs = asked_live.target_journal(own, other, desired["server"])
    epoch = authority.may_take_back(own, theirs)
    older_image.refuse_used_up(own, theirs, seal.next_xid(postgres), other.name)
    must_apply = theirs.fence if theirs.authority is Authority.SEALED else None
    return journal.update(
        postgres.server, authority=Authority.SEALED, epoch=epoch, must_apply=must_apply, seen=journal.seen(theirs)
    )


def _stay_sealed(
    desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide, changed: List[str]
) -> Facts:
    """The stream writes here, so its own fence proves nothing any more; DB_A's counts."""
    if seal.is_whole(postgres, quiet=False) is not None:
        changed += seal.seal(postgres, desired["readers"], float(desired["graceSeconds"]))
    theirs = asked_live.target_journal(own, other, desired["server"])
    if theirs.fence != own.must_apply:
        own = journal.update(postgres.server, must_apply=theirs.fence, seen=journal.seen(theirs))
        changed.append("took note of DB_A's new fence")
    return facts_of(changed, "it is sealed, and opens once it has applied all that DB_A wrote", own)


def _release(desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide) -> Facts:
    theirs = asked_live.target_journal(own, other, desired["server"])
    opened = theirs.authority is Authority.HOLDS and theirs.epoch == own.epoch
    streams = opened or theirs.authority is Authority.SEALED
    missing = seal.is_whole(postgres, quiet=not streams)
    changed: List[str] = []
    if missing is not None and opened:
        # Nothing is proved by this fence any more, and DB_A takes the writes: to seal it over upgrade would refuse them all, and from replicas
        # no way leads there. What was written here meanwhile shows where the two are compared.
        changed = [f"sealed it again: {missing}"]
        changed += seal.seal(postgres, desired["readers"], float(desired["graceSeconds"]))
    elif missing is not None:
        raise Refusal("the old primary's seal whole", missing, advice.sealed_again(advice.higher(own.round)))
    if own.authority is Authority.RELEASED:
        if opened:
            return facts_of(changed, "DB_A took the authority, and has opened", own)
        older_image.refuse_used_up(own, theirs, seal.next_xid(postgres), other.name)
        return facts_of([], "it is released to DB_A already", own)
    authority.may_release(own, seal.next_xid(postgres), theirs)
    # DB_A would refuse to open over it, and only then: with the authority given away already.
    old_replicas.refuse_promoted(desired["oldReplicas"], postgres)
    own = journal.update(
        postgres.server,
        authority=Authority.RELEASED,
        epoch=own.epoch + 1,
        must_apply=None,
        seen=journal.seen(theirs),
    )
    why = (
        "DB_A is as it was at its own fence"
        if streams
        else "nothing was written since the fence, and DB_A was upgraded from it"
    )
    return facts_of([f"released the authority to DB_A, epoch {own.epoch}"], why, own)


def _open(desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide) -> Facts:
    accepted = desired.get("acceptDataLoss") is True
    epoch = authority.may_open_old_primary(own, other.lost and accepted)
    changed: List[str] = []
    was_open = own.authority is Authority.HOLDS
    _ask_others(desired, postgres, own, other, accepted)
    if own.must_apply is not None or own.authority is Authority.RELEASED:
        changed += _come_back(desired, postgres, own, other, accepted)
        _ask_others(desired, postgres, own, other, accepted)  # once more: minutes may have gone by
    own = journal.update(postgres.server, authority=Authority.HOLDS, epoch=epoch, fence=None, must_apply=None)
    if access.is_sealed(postgres.server, postgres.cluster):
        old_replicas.tell(postgres, epoch)
    changed += seal.unseal(postgres, desired["readers"], was_open)
    if other.lost:
        changed += drop_slot(postgres)
    return facts_of(
        changed, "it holds the authority to write" if changed else "it is open, and holds the authority to write", own
    )


def _ask_others(desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide, accepted: bool) -> None:
    """Who else may take writes, or may have taken some. Raises Refusal."""
    replicas = desired["oldReplicas"]
    if own.authority is Authority.RELEASED:
        other.refuse_if_it_answers(advice.without_the_word(Phase.CUTOVER, advice.higher(own.round)))
    asked_live.refuse_to_open_beside_target(own, other, replicas, postgres, desired["server"], accepted)
    if own.authority is not Authority.HOLDS:
        old_replicas.refuse_newer(replicas, postgres)


def _come_back(
    desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide, accepted: bool
) -> List[str]:
    """What DB_A took is brought here, or given up by a person's word. Raises Refusal."""
    wanted = Wanted.from_desired(desired["wayBack"], own.round)
    if own.must_apply is None:  # DB_A was lost while it was open
        return loss.give_up(postgres, other, wanted.jobs)
    try:
        theirs = _journal_of(own, other, wanted)
        _prove_target(own, own.must_apply, theirs, other, postgres)
        given_up = _refuse_not_carried(theirs, other, wanted, accepted)
        wanted = replace(wanted, compare=theirs.compare)
        changed, difference = coming_back.bring_rows(postgres, other, own.must_apply, wanted)
        changed += given_up
    except Refusal as refused:
        if not accepted:
            raise
        progress(f"{refused.found}: given up, for the stack says acceptDataLoss")
        return loss.give_up(postgres, other, wanted.jobs, refused.found)
    # Every row is here: nothing of what follows is a reason to give any up, unless DB_A was written to meanwhile.
    changed += coming_back.settle(postgres, other, difference, wanted, accepted)
    try:
        _prove_target(own, own.must_apply, _journal_of(own, other, wanted), other, postgres)
    except Refusal as moved:
        if not accepted:
            raise
        changed += loss.give_up(postgres, other, wanted.jobs, moved.found)
    return changed


def _prove_target(own: Journal, must_apply: Fence, theirs: Journal, other: OtherSide, postgres: Postgres) -> None:
    """DB_A is sealed, and wrote nothing since its fence: read live, as DB_A reads it of this server. Raises Refusal."""
    authority.refuse_unless_sealed_at(own, must_apply, theirs)
    let_in = other.refuses_clients(postgres.cluster.superuser)
    if let_in is not None:
        do = authority.fence_again(own, theirs)
        raise Refusal(f"{other.name} to refuse clients, for it was sealed at its fence", let_in, do)
    authority.refuse_unless_unmoved(own, must_apply, theirs, other.next_xid())


def _refuse_not_carried(theirs: Journal, other: OtherSide, wanted: Wanted, accepted: bool) -> List[str]:
    """What somebody made on DB_A while it was sealed, before its fence was taken anew. What was given up of it. Raises Refusal."""
    if not theirs.not_carried:
        return []
    found = "; ".join(theirs.not_carried)
    if not accepted:
        raise Refusal(
            f"nothing made, changed or dropped behind {other.name}'s seal that the stream back does not carry",
            found,
            wanted.instead,
        )
    progress(f"given up, for the stack says acceptDataLoss: {found}")
    return [f"gave up {found}"]


def _journal_of(own: Journal, other: OtherSide, wanted: Wanted) -> Journal:
    """DB_A's journal. Raises Refusal, with the way that there is without it."""
    try:
        theirs = journal.from_json(other.journal())
    except Refusal as silent:
        gone = f"if it is gone for good, power it off, and give up what it alone has: {advice.give_up(Phase.PREPARE, wanted.next_round)}"
        raise Refusal(silent.expected, silent.found, f"{silent.do}, then run `pulumi up` again; or, {gone}") from None
    older_image.refuse_older_target(theirs, own, other.name)
    return theirs


def drop_slot(postgres: Postgres) -> List[str]:
    """DB_A's slot, of which it has no more use. What was changed. Raises Refusal."""
    return slots.drop(postgres.server, postgres.rows, f"slot_name = '{SLOT}'")
