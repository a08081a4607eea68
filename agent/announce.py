"""Verb `announce`: the first step of every `up`. It writes phase and round into the journal of a database server, and
refuses what is no move from there: this is what the engine cannot know after a step failed or died half-way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Mapping, Optional, Tuple

from agent import access, advice, asked_live, authority, identity, journal, loss, rehearsal
from agent.cluster import from_desired
from agent.journal import Authority, Journal
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import MOVES, Phase, goes_back, step_towards
from agent.subscriber import Subscriber


def announce(desired: Mapping[str, Any], server: Server) -> Facts:
    """Announce `phase` in `round` to this server; `side` is "old primary" or "DB_A". `acceptDataLoss` is there if DB_A is lost;
    `asksFirst` on the old primary: whom it asks whether DB_A opened without it.

    Raises Refusal, with the commands to type.
    """
    own = journal.read(server)
    phase, round_, is_target = Phase(desired["phase"]), int(desired["round"]), desired["side"] == "DB_A"
    if is_target and phase in (Phase.PREPARE, Phase.READONLY):
        authority.refuse_to_seal_open_target(own)
    if is_target or phase is not Phase.PREPARE:
        rehearsal.refuse_beside_rehearsal(server, "DB_A" if is_target else "the old primary of a window")
    asks_first = desired.get("asksFirst")
    cluster = from_desired(asks_first["postgres"]) if asks_first else None
    theirs: Optional[Journal] = None
    if asks_first and cluster is not None:
        postgres = Postgres(server, cluster, desired["address"])
        target = OtherSide.from_desired(asks_first["otherSide"], server, cluster.program("psql"))
        # Also where there is no journal: the server may have been made anew while DB_A went on without it.
        wanted = own or decide(own, phase, round_, is_target)
        if own is None:
            asked_live.refuse_sealed_without_journal(postgres, target, desired.get("acceptDataLoss") is True, round_)
        theirs = asked_live.refuse_beside_target(wanted, target, asks_first["oldReplicas"], postgres, desired["server"])
    accepted = desired.get("acceptDataLoss")
    told_from = desired.get("lossToldFrom") if accepted is False else None
    would_be_lost = _would_be_lost(told_from, desired["address"], server) if told_from else ""
    with journal.alone_with(server):  # a rebuild of DB_A may write it at this moment
        own = journal.read(server)
        wanted = decide(own, phase, round_, is_target, accepted, would_be_lost)
        if theirs is not None:  # an older image of DB_A, restored later, is told by this
            wanted = replace(wanted, seen=journal.seen(theirs))
        known = wanted == own and wanted.seen == own.seen
        if not known:
            found = identity.of_cluster(server, cluster.data) if cluster is not None else ""
            journal.write(server, replace(wanted, cluster=wanted.cluster or found))
    back: List[str] = []
    if asks_first and own is not None and own.authority in (Authority.SEALED, Authority.RELEASED):
        # Some of what follows asks this server before its gate does, and comes in by these rules alone.
        back = access.bring_back(postgres, [asks_first["otherSide"]["address"]], sealed=True)
    if known:
        return {"changed": back, "because": f"{phase} in round {round_} was announced already"}
    return {"changed": [f"announced {phase} in round {round_}", *back], "because": _before(own)}


def decide(
    own: Optional[Journal],
    phase: Phase,
    round_: int,
    is_target: bool,
    accept_data_loss: Optional[bool] = None,
    would_be_lost: str = "",
) -> Journal:
    """The journal as it is to be; `accept_data_loss` is None unless DB_A is lost, `would_be_lost` says what. Pure. Raises Refusal."""
    if own is None:
        if phase is not Phase.PREPARE and not is_target:
            raise Refusal(
                "phase prepare on servers that pgleap has not prepared",
                f"phase {phase}",
                advice.to(Phase.PREPARE, advice.higher(round_)),
            )
        return Journal(
            phase=phase,
            round=round_,
            finished=False,
            authority=Authority.NONE if is_target else Authority.HOLDS,
            epoch=0 if is_target else 1,
        )
    if round_ < own.round:
        raise Refusal(
            f"round {own.round} or higher, which this server has seen",
            f"round {round_}: the checkout or the stack config is stale",
            f"fetch the newest stack config; or, if this one is right: {advice.again(advice.higher(own.round))}",
        )
    # The old primary decides about this move; DB_A is only rebuilt.
    to_prepare_target = is_target and phase is Phase.PREPARE
    released = phase is Phase.PREPARE and own.authority is Authority.RELEASED
    # Once retire was announced, what led the stream back goes: there is no way back any more.
    if released and accept_data_loss is not None and own.phase is not Phase.RETIRE:
        _refuse_unless_accepted(own, round_, accept_data_loss, would_be_lost)
        return replace(own, phase=phase, round=round_, finished=False)
    if phase is not own.phase and not to_prepare_target:
        _refuse_no_move(own, phase, round_, is_target)
    if released:
        raise Refusal(
            "an old primary that has not released its authority",
            f"it released it to DB_A (epoch {own.epoch})",
            advice.back_over_upgrade(advice.higher(own.round, round_)),
        )
    if (phase, round_) == (own.phase, own.round):
        return own
    # The fence that DB_A remembers is of a seal that prepare ends.
    fence = None if to_prepare_target else own.fence
    return replace(own, phase=phase, round=round_, finished=False, fence=fence)


def _would_be_lost(told_from: Mapping[str, Any], address: str, server: Server) -> str:
    postgres = Postgres(server, from_desired(told_from["postgres"]), address)
    target = OtherSide.from_desired(told_from["otherSide"], server, postgres.cluster.program("psql"))
    return loss.told(Subscriber(postgres, target, 1))


def _refuse_unless_accepted(own: Journal, round_: int, accepted: bool, would_be_lost: str) -> None:
    """DB_A is lost after the release: it may have opened, and only a person can say that what it took is given up."""
    if not accepted:
        raise Refusal(
            "acceptDataLoss: true, for the authority was released to DB_A, which may have taken writes before it was lost",
            f"it is not set; what would be lost: {would_be_lost}",
            "if DB_A can come back, bring it back and take `lost` out; else power it off for good, then:"
            f" {advice.give_up(Phase.PREPARE, advice.higher(own.round, round_))}",
        )
    if own.phase is not Phase.PREPARE and round_ <= own.round:
        raise Refusal(
            f"a higher round than {own.round} to go back without DB_A",
            f"round {round_}",
            advice.again(advice.higher(own.round, round_)),
        )


def _refuse_no_move(own: Journal, phase: Phase, round_: int, is_target: bool) -> None:
    back = goes_back(own.phase, phase)
    if own.finished and phase in MOVES[own.phase] and (not back or round_ > own.round):
        return
    if not own.finished and phase in _from_unfinished(own, is_target) and round_ > own.round:
        return
    next_round = advice.higher(own.round, round_)
    if not own.finished:
        raise Refusal(
            f"{own.phase} to be finished first (round {own.round}), or a way back from it with a higher round",
            f"phase {phase} in round {round_}",
            "; or, ".join(_advised(own, next_round, is_target)),
        )
    if phase in MOVES[own.phase]:
        released = own.authority is Authority.RELEASED and phase is Phase.PREPARE
        raise Refusal(
            f"a higher round than {own.round} to go back from {own.phase} to {phase}",
            f"round {round_}",
            advice.back_over_upgrade(next_round) if released else advice.to(phase, next_round),
        )
    step = step_towards(own.phase, phase)
    older = "; or, if this server was restored from an older image, see docs/recovery.md for that" if is_target else ""
    forward = f"pulumi config set phase {step} && {advice.PREVIEW}"
    raise Refusal(
        f"a move from {own.phase}: {' or '.join(MOVES[own.phase]) or 'none, it is the end'}",
        f"phase {phase}",
        (advice.to(step, next_round) if goes_back(own.phase, step) else forward) + older,
    )


def _from_unfinished(own: Journal, is_target: bool) -> Tuple[Phase, ...]:
    """Where one goes, with a higher round, from a phase that is not finished. Pure."""
    ways = tuple(to for to in MOVES[own.phase] if goes_back(own.phase, to))
    if own.phase is Phase.CUTOVER and own.authority is Authority.SEALED:
        # Before the release the way back needs nothing of DB_A, so it need not go by way of upgrade.
        ways = (*ways, Phase.PREPARE)
    if is_target:
        left = own.phase is Phase.UPGRADE and (had_opened(own, is_target) or own.upgraded_at is not None)
    else:
        left = had_opened(own, is_target) or own.authority is Authority.RELEASED
    if left and own.phase in (Phase.UPGRADE, Phase.PREPARE):
        # A way back on which nobody has opened yet: cutover opens DB_A again, with all that it took.
        ways = (*ways, Phase.CUTOVER) if own.phase is Phase.UPGRADE else (*ways, Phase.UPGRADE, Phase.CUTOVER)
    return ways


def _advised(own: Journal, next_round: int, is_target: bool) -> List[str]:
    """What to type while `own.phase` is not finished: what neither the preview nor the old primary's authority refuses. Pure."""
    released = own.authority is Authority.RELEASED
    opened = had_opened(own, is_target)
    ways = _from_unfinished(own, is_target)
    found = []
    if not (released and own.phase is Phase.PREPARE):  # that was a DB_A that is called lost no more
        found.append(f"to go on: {advice.to(own.phase, next_round)}")
    back = [to for to in ways if goes_back(own.phase, to) and not (to is Phase.PREPARE and (released or opened))]
    # DB_A does not know whether the authority was released to it; over upgrade one goes back from either.
    unsure = is_target and own.upgraded_at is not None
    found += [
        f"to go back: {advice.back_over_upgrade(next_round) if to is Phase.PREPARE and unsure else advice.to(to, next_round)}"
        for to in back
    ]
    if own.phase is Phase.PREPARE and Phase.UPGRADE in ways:
        found.append(f"to begin the way back anew: {advice.back_over_upgrade(next_round)}")
    if Phase.CUTOVER in ways and own.phase is not Phase.REPLICAS and (opened or own.phase is Phase.PREPARE):
        found.append(f"to have DB_A open again, with all that it took: {advice.to(Phase.CUTOVER, next_round)}")
    return found


def had_opened(own: Journal, is_target: bool) -> bool:
    """Whether DB_A had opened, as far as this side knows, and the old primary has not opened since. Pure."""
    if is_target:
        return own.authority in (Authority.HOLDS, Authority.SEALED) and own.phase is not Phase.PREPARE
    return own.must_apply is not None


def _before(own: Optional[Journal]) -> str:
    if own is None:
        return "nothing was announced to this server before"
    return f"before it was {own.phase} in round {own.round}, {'finished' if own.finished else 'unfinished'}"
