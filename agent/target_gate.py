"""DB_A's client gate: sealed until it opens on the old primary's release; sealed and fenced again for the way back.

On the way to readonly it is where names have not moved yet, and draining, which can take minutes, is over: the last moment to see that
DB_A still has the old primary's configuration."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence, Tuple

from agent import (
    access,
    advice,
    asked_live,
    authority,
    configuration,
    consumers,
    journal,
    old_replicas,
    older_image,
    publisher,
    seal,
    statistics,
)
from agent.checks.wording import few
from agent.gate_facts import facts_of, refuse_a_replica
from agent.journal import Authority, Journal
from agent.other_side import OtherSide
from agent.postgres import Postgres, wait_until
from agent.report import Facts, Refusal, progress
from agent.states import Gate, Phase

STARTING_SECONDS = 60


def bring(gate: Gate, desired: Mapping[str, Any], postgres: Postgres, other: OtherSide) -> Facts:
    """Bring it to `gate`; `other` is the old primary. Raises Refusal."""
    own = journal.must_read(postgres.server)
    back = access.bring_back(
        postgres, desired["readers"], sealed=own.authority is not Authority.HOLDS, on_target=own.upgraded_at is None
    )
    facts = _bring(gate, desired, postgres, own, other)
    return {**facts, "changed": [*back, *facts["changed"]]}


def _bring(gate: Gate, desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide) -> Facts:
    if gate is Gate.OPEN:
        return _open(desired, postgres, own, other)
    if (own.authority is Authority.HOLDS and own.phase is Phase.UPGRADE) or own.authority is Authority.SEALED:
        return _seal_for_way_back(desired, postgres, own, other)
    authority.refuse_to_seal_open_target(own)
    return _stay_sealed(desired, postgres, own, other)


def _seal_for_way_back(desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide) -> Facts:
    """DB_A has taken writes: its fence says up to where the old primary must follow before it may open again. With it the epoch is
    renounced, so that DB_A opens again only by a new release."""
    if not postgres.is_running():  # a rebuild on the way to prepare; the old primary has opened
        return facts_of([], "no PostgreSQL of this version runs here, so no client gets in", own)
    unmoved = own.fence is not None and seal.next_xid(postgres) == own.fence.xid
    if own.authority is Authority.SEALED and unmoved and seal.is_whole(postgres) is None:
        own, changed = _renounce(own, other, postgres)
        return facts_of(
            changed,
            "it is sealed, and nothing was written since its fence",
            own,
            consumers.told(postgres.server, own.fence),
        )
    statistics.stop(postgres.server)
    progress("refusing clients: from here on writes are refused")
    changed = seal.seal(postgres, desired["readers"], float(desired["graceSeconds"]))
    fence = seal.take_fence(postgres)
    since = publisher.since(postgres, int(desired["jobs"]))
    behind_the_seal = own.authority is Authority.SEALED
    if not behind_the_seal:
        _refuse_changes(since.changes, desired, own)
    own = journal.update(
        postgres.server,
        authority=Authority.SEALED,
        fence=fence,
        renounced=own.epoch,
        compare=since.compare,
        # Refused here they would keep the old primary from taking the authority back, without which DB_A cannot open again either.
        not_carried=tuple(few(since.changes)) if behind_the_seal and desired.get("acceptDataLoss") is not True else (),
    )
    changed.append(f"fence at transaction id {fence.xid}, {fence.lsn}; renounced epoch {own.epoch}")
    # It may have been released to DB_A anew, and not opened since.
    own, renounced = _renounce(own, other, postgres)
    changed += renounced
    return facts_of(
        changed,
        "the old primary follows up to this fence, and opens only then",
        own,
        consumers.told(postgres.server, own.fence),
    )


def _refuse_changes(changes: Sequence[str], desired: Mapping[str, Any], own: Journal) -> None:
    """What was made after `ready` had looked is found now that nothing more can be. Raises Refusal before anything is renounced: DB_A still
    holds the authority, and opens again in cutover."""
    if not changes:
        return
    if desired.get("acceptDataLoss") is True:
        progress(f"given up, for the stack says acceptDataLoss: {'; '.join(changes)}")
        return
    next_round = advice.higher(own.round)
    raise Refusal(
        "nothing made, changed or dropped on DB_A that the stream back does not carry, while it was sealed",
        "; ".join(few(changes)),
        f"have DB_A open again with all that it took, and mend it there: {advice.to(Phase.CUTOVER, next_round)}; or, to lose it on the"
        f" way back: {advice.give_up(Phase.UPGRADE, next_round)}",
    )


def _stay_sealed(desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide) -> Facts:
    """DB_A is built sealed; this verifies it and, if a release was not taken up, renounces it so that it can be taken back."""
    server = postgres.server
    if desired.get("configuration") and own.phase is Phase.READONLY:
        configuration.refuse_drift(server, other, advice.again(advice.higher(own.round)))
    own, changed = _renounce(own, other, postgres)
    if not postgres.is_running():
        return facts_of(changed, "no PostgreSQL of this version runs here, so no client gets in", own)
    if not access.seal_holds(server, postgres.cluster):
        changed += access.write_rules(
            server, postgres.cluster, desired["readers"], sealed=True, on_target=own.upgraded_at is None
        )
        postgres.reload()

    asked = False

    def look() -> Optional[str]:
        nonlocal asked
        # A rebuild under way stops and starts it; while it starts it lets nobody in, but not yet by our rules.
        let_in = seal.refused_from_here(postgres) if postgres.is_running() else None
        if (
            let_in is not None and not asked
        ):  # a run before this one may have died between writing the rules and having them read
            postgres.ask_to_read()
            asked = True
        return let_in

    wait_until(
        server,
        STARTING_SECONDS,
        "DB_A to refuse clients until it opens",
        look,
        "see its pg_hba.conf, then run `pulumi up` again",
    )
    return facts_of(changed, "DB_A refuses clients until it opens", own)


def _renounce(own: Journal, other: OtherSide, postgres: Postgres) -> Tuple[Journal, List[str]]:
    """A release that was not taken up is renounced for good, so that the old primary can take the authority back."""
    if own.upgraded_at is None or other.lost:
        return own, []
    theirs = journal.from_json(other.journal())
    if theirs.authority is not Authority.RELEASED or theirs.epoch <= own.renounced:
        return own, []
    return journal.update(postgres.server, renounced=theirs.epoch), [f"renounced epoch {theirs.epoch}"]


def _open(desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide) -> Facts:
    server = postgres.server
    if not postgres.is_running():
        raise Refusal(
            "DB_A's new version running",
            "no postmaster",
            f"journalctl -u {postgres.cluster.unit}; then run `pulumi up` again",
        )
    refuse_a_replica(postgres)
    was_open = own.authority is Authority.HOLDS
    if not was_open:
        if own.authority is Authority.SEALED or own.upgraded_at is None:
            old_replicas.refuse_promoted(desired["oldReplicas"], postgres)
        else:
            old_replicas.refuse_promoted_or_ahead(desired["oldReplicas"], postgres, own.upgraded_at)
        if other.lost:
            epoch = _epoch_without(own, other, desired, postgres)
            own = journal.update(server, authority=Authority.HOLDS, epoch=epoch, fence=None, alone=True)
        else:
            theirs = journal.from_json(other.journal())
            older_image.refuse_older_target(own, theirs, desired["server"])
            older_image.refuse_older_primary(theirs, own, other.name)
            epoch = _epoch_released(own, theirs, other, postgres, desired["server"])
            own = journal.update(server, authority=Authority.HOLDS, epoch=epoch, fence=None, seen=journal.seen(theirs))
    if not other.lost and access.is_sealed(server, postgres.cluster):
        older_image.use_up(other)
    changed = seal.unseal(postgres, desired["readers"], was_open)
    if own.alone:  # opened without the old primary, which will never follow by the slots of the stream back
        changed += publisher.drop_slots(postgres)
    changed += statistics.resume(postgres, int(desired["jobs"]), statistics.OPENING_SECONDS)
    why = (
        f"{other.name} is lost, and DB_A had replayed its fence"
        if other.lost
        else "the old primary released its authority to it"
    )
    return facts_of(changed, why if changed else "it is open, and holds the authority", own)


def _epoch_released(own: Journal, theirs: Journal, other: OtherSide, postgres: Postgres, here: str) -> int:
    """The epoch that the old primary released, read live with its seal and its fence; `here` is DB_A's name. Raises Refusal."""
    if own.authority is Authority.SEALED:
        epoch = authority.may_open_again(own, theirs, seal.next_xid(postgres))
    else:
        next_xid = other.next_xid()
        older_image.refuse_used_up(theirs, own, next_xid, here)
        epoch = authority.may_open_upgrade_target(own, theirs, next_xid)
    let_in = other.refuses_clients(postgres.cluster.superuser)
    if let_in is not None:
        raise Refusal("the old primary to refuse clients", let_in, advice.sealed_again(advice.higher(own.round)))
    return epoch


def _epoch_without(own: Journal, other: OtherSide, desired: Mapping[str, Any], postgres: Postgres) -> int:
    """The epoch to open with when the old primary is lost: it must not answer, and no replica may know of more. Raises Refusal."""
    epoch = authority.may_open_without_old_primary(own)
    other.refuse_if_it_answers(advice.again(advice.higher(own.round)))
    untold = asked_live.witnesses(desired["oldReplicas"], postgres).untold
    if untold:
        raise Refusal(
            f"every old replica to have been told that {desired['server']} goes on without {other.name}",
            f"{', '.join(untold)} was not: {other.name}, back again, would not hear of it there",
            advice.again(advice.higher(own.round)),
        )
    if own.authority is not Authority.SEALED:  # which had opened: its own fence counts, not the old primary's
        assert own.upgraded_at is not None
        old_replicas.refuse_ahead(desired["oldReplicas"], postgres, own.upgraded_at)
    old_replicas.refuse_held_again(desired["oldReplicas"], postgres, own.epoch)
    return epoch
