"""Verb `client-gate`: who gets into a database server. Sealing, fence, proof, release and opening; decided by the journals,
never by the phase's name alone."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional

from agent import access, authority, journal, old_replicas, seal
from agent.cluster import from_desired
from agent.journal import Authority, Journal
from agent.other_side import OtherSide
from agent.postgres import Postgres, wait_until
from agent.report import Facts, Refusal, progress
from agent.server import Server
from agent.states import Gate
from agent.target import SLOT

STARTING_SECONDS = 60


def client_gate(desired: Mapping[str, Any], server: Server) -> Facts:
    """Bring one database server's gate to `gate`. `side` says which of the two it is, `otherSide` how the other is reached."""
    cluster = from_desired(desired["postgres"])
    postgres = Postgres(server, cluster, desired["address"])
    other = OtherSide.from_desired(desired["otherSide"], server, cluster.program("psql"))
    gate = Gate(desired["gate"])
    if desired["side"] == "DB_A":
        return _open_target(desired, postgres, other) if gate is Gate.OPEN else _seal_target(postgres, other)
    own = journal.must_read(server)
    access.refuse_managers(server)
    access.have_way_in(postgres, [other.address])
    _refuse_a_replica(postgres)
    if gate is Gate.OPEN:
        return _open_old_primary(desired, postgres, own, other)
    if gate is Gate.SEALED:
        return _seal_old_primary(desired, postgres, own, other)
    return _release(desired, postgres, own, other)


def _seal_old_primary(desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide) -> Facts:
    server = postgres.server
    changed: List[str] = []
    if own.authority is Authority.RELEASED:
        epoch = authority.may_take_back(own, journal.from_json(other.journal()))
        own = journal.update(server, authority=Authority.SEALED, epoch=epoch)
        changed.append("took the authority back from DB_A, which renounced it without having opened")
    unmoved = own.fence is not None and seal.next_xid(postgres) == own.fence.xid
    if own.authority is Authority.SEALED and unmoved and seal.is_whole(postgres) is None:
        return _facts(changed, "it is sealed, and nothing was written since its fence", own)
    seal.refuse_other_writers(postgres)
    progress("refusing clients: from here on writes are refused")
    changed += seal.seal(postgres, [other.address], float(desired["graceSeconds"]))
    fence = seal.take_fence(postgres)
    if own.fence is None or own.fence.xid != fence.xid:
        own = journal.update(server, authority=Authority.SEALED, fence=fence)
        changed.append(f"fence at transaction id {fence.xid}, {fence.lsn}")
    return _facts(changed, "it was not sealed, or its seal was not whole", own)


def _release(desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide) -> Facts:
    missing = seal.is_whole(postgres)
    if missing is not None:
        raise Refusal(
            "the old primary's seal whole", missing, "raise the round and run phase upgrade, or go back to prepare"
        )
    found = seal.next_xid(postgres)
    if own.authority is Authority.RELEASED:
        authority.proven(own, found)
        return _facts([], "it is released to DB_A already, and its fence was proved once more", own)
    authority.may_release(own, found, journal.from_json(other.journal()))
    # DB_A would refuse to open over it, and only then: with the authority given away already.
    old_replicas.refuse_promoted(desired["oldReplicas"], postgres)
    own = journal.update(postgres.server, authority=Authority.RELEASED, epoch=own.epoch + 1)
    return _facts(
        [f"released the authority to DB_A, epoch {own.epoch}"],
        "nothing was written since the fence, and DB_A was upgraded from it",
        own,
    )


def _open_old_primary(desired: Mapping[str, Any], postgres: Postgres, own: Journal, other: OtherSide) -> Facts:
    given_up = other.lost and desired.get("acceptDataLoss") is True
    epoch = authority.may_open_old_primary(own, given_up)
    if own.authority is not Authority.HOLDS:
        if own.authority is Authority.RELEASED:
            other.refuse_if_it_answers()
        old_replicas.refuse_promoted(desired["oldReplicas"], postgres)
    own = journal.update(postgres.server, authority=Authority.HOLDS, epoch=epoch, fence=None)
    changed = seal.unseal(postgres, [other.address])
    if other.lost:
        changed += drop_slot(postgres)
    return _facts(
        changed, "it holds the authority to write" if changed else "it is open, and holds the authority to write", own
    )


def _seal_target(postgres: Postgres, other: OtherSide) -> Facts:
    """DB_A is built sealed; this verifies it and, if a release was not taken up, renounces it so that it can be taken back."""
    server = postgres.server
    own = journal.must_read(server)
    authority.refuse_to_seal_open_target(own)
    changed: List[str] = []
    if own.upgraded_at is not None and not other.lost:
        theirs = journal.from_json(other.journal())
        if theirs.authority is Authority.RELEASED and theirs.epoch > own.renounced:
            own = journal.update(server, renounced=theirs.epoch)
            changed.append(f"renounced epoch {theirs.epoch}")
    if not postgres.is_running():
        return _facts(changed, "no PostgreSQL of this version runs here, so no client gets in", own)
    if not access.is_sealed(server, postgres.cluster):
        changed += access.write_rules(
            server, postgres.cluster, [other.address], sealed=True, on_target=own.upgraded_at is None
        )
        postgres.reload()

    def look() -> Optional[str]:
        # A rebuild under way stops and starts it; while it starts it lets nobody in, but not yet by our rules.
        return seal.refused_from_here(postgres) if postgres.is_running() else None

    wait_until(
        server,
        STARTING_SECONDS,
        "DB_A to refuse clients until it opens",
        look,
        "see its pg_hba.conf, then run `pulumi up` again",
    )
    return _facts(changed, "DB_A refuses clients until it opens", own)


def _open_target(desired: Mapping[str, Any], postgres: Postgres, other: OtherSide) -> Facts:
    server = postgres.server
    own = journal.must_read(server)
    if not postgres.is_running():
        raise Refusal(
            "DB_A's new version running",
            "no postmaster",
            f"journalctl -u {postgres.cluster.unit}; then run `pulumi up` again",
        )
    _refuse_a_replica(postgres)
    if own.authority is not Authority.HOLDS:
        old_replicas.refuse_promoted(desired["oldReplicas"], postgres)
        epoch = _epoch_without(own, other, desired, postgres) if other.lost else _epoch_released(own, other, postgres)
        own = journal.update(server, authority=Authority.HOLDS, epoch=epoch)
    changed = seal.unseal(postgres, [other.address])
    why = (
        f"{other.name} is lost, and DB_A had replayed its fence"
        if other.lost
        else "the old primary released its authority to it"
    )
    return _facts(changed, why if changed else "it is open, and holds the authority", own)


def _epoch_released(own: Journal, other: OtherSide, postgres: Postgres) -> int:
    """The epoch that the old primary released, read live with its seal and its fence. Raises Refusal."""
    epoch = authority.may_open_upgrade_target(own, journal.from_json(other.journal()), other.next_xid())
    let_in = other.refuses_clients(postgres.cluster.superuser)
    if let_in is not None:
        raise Refusal("the old primary to refuse clients", let_in, "raise the round and run phase upgrade, or go back")
    return epoch


def _epoch_without(own: Journal, other: OtherSide, desired: Mapping[str, Any], postgres: Postgres) -> int:
    """The epoch to open with when the old primary is lost: it must not answer, and no replica may know of more. Raises Refusal."""
    epoch = authority.may_open_without_old_primary(own)
    other.refuse_if_it_answers()
    assert own.upgraded_at is not None
    old_replicas.refuse_ahead(desired["oldReplicas"], postgres, own.upgraded_at)
    return epoch


def drop_slot(postgres: Postgres) -> List[str]:
    """A slot that nobody will stream from any more fills the disk. What was changed."""
    dropped = postgres.rows(
        f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{SLOT}' AND NOT active"
    )
    return [f"dropped the slot {SLOT}"] if dropped else []


def _refuse_a_replica(postgres: Postgres) -> None:
    if postgres.in_recovery():
        raise Refusal(
            "a primary on this server", "PostgreSQL is in recovery: it is a replica", "mend pgleap:servers (roles)"
        )


def _facts(changed: List[str], because: str, own: Journal) -> Facts:
    facts: Facts = {"changed": changed, "because": because, "authority": own.authority.value, "epoch": own.epoch}
    if own.fence:
        facts["fence"] = vars(own.fence)
    return facts
