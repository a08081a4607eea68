"""Verb `announce`: the first step of every `up`. It writes phase and round into the journal of a database server, and
refuses what is no move from there: this is what the engine cannot know after a step failed or died half-way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, Optional, Tuple

from agent import authority, journal, loss, rehearsal
from agent.cluster import from_desired
from agent.journal import Authority, Journal
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import MOVES, Phase, goes_back, step_towards
from agent.subscriber import Subscriber


def announce(desired: Mapping[str, Any], server: Server) -> Facts:
    """Announce `phase` in `round` to this server; `side` is "old primary" or "DB_A". `acceptDataLoss` is there if DB_A is lost.

    Raises Refusal, with the commands to type.
    """
    own = journal.read(server)
    phase, round_, is_target = Phase(desired["phase"]), int(desired["round"]), desired["side"] == "DB_A"
    if is_target and phase in (Phase.PREPARE, Phase.READONLY):
        authority.refuse_to_seal_open_target(own)
    if is_target or phase is not Phase.PREPARE:
        rehearsal.refuse_beside_rehearsal(server, "DB_A" if is_target else "the old primary of a window")
    accepted = desired.get("acceptDataLoss")
    told_from = desired.get("lossToldFrom") if accepted is False else None
    would_be_lost = _would_be_lost(told_from, desired["address"], server) if told_from else ""
    with journal.alone_with(server):  # a rebuild of DB_A may write it at this moment
        own = journal.read(server)
        wanted = decide(own, phase, round_, is_target, accepted, would_be_lost)
        if wanted == own:
            return {"changed": [], "because": f"{phase} in round {round_} was announced already"}
        journal.write(server, wanted)
    return {"changed": [f"announced {phase} in round {round_}"], "because": _before(own)}


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
                "pulumi config set phase prepare && pulumi up",
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
            f"fetch the newest stack config; if this one is right: pulumi config set round {own.round + 1} && pulumi up",
        )
    # The old primary decides about this move; DB_A is only rebuilt.
    to_prepare_target = is_target and phase is Phase.PREPARE
    released = phase is Phase.PREPARE and own.authority is Authority.RELEASED
    if released and accept_data_loss is not None:
        _refuse_unless_accepted(own, round_, accept_data_loss, would_be_lost)
        return replace(own, phase=phase, round=round_, finished=False)
    if phase is not own.phase and not to_prepare_target:
        _refuse_no_move(own, phase, round_, is_target)
    if released:
        raise Refusal(
            "an old primary that has not released its authority",
            f"it released it to DB_A (epoch {own.epoch})",
            f"pulumi config set phase upgrade && pulumi config set round {own.round + 1} && pulumi up; then the same for prepare",
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
            "if DB_A can come back, bring it back; else power it off for good, then: pulumi config set acceptDataLoss true"
            f" && pulumi config set round {own.round + 1} && pulumi up",
        )
    if own.phase is not Phase.PREPARE and round_ <= own.round:
        raise Refusal(
            f"a higher round than {own.round} to go back without DB_A",
            f"round {round_}",
            f"pulumi config set round {own.round + 1} && pulumi up",
        )


def _refuse_no_move(own: Journal, phase: Phase, round_: int, is_target: bool) -> None:
    back = goes_back(own.phase, phase)
    if own.finished and phase in MOVES[own.phase] and (not back or round_ > own.round):
        return
    # Before the release the way back from a cutover needs nothing of DB_A, so it need not go by way of upgrade.
    unreleased = own.phase is Phase.CUTOVER and phase is Phase.PREPARE and own.authority is Authority.SEALED
    over_upgrade = phase in _once_it_had_opened(own, is_target)
    if not own.finished and (over_upgrade or (back and phase in MOVES[own.phase]) or unreleased) and round_ > own.round:
        return
    ways = [
        f"pulumi config set phase {to} && pulumi config set round {own.round + 1} && pulumi up"
        for to in MOVES[own.phase]
        if goes_back(own.phase, to)
    ]
    if not own.finished:
        raise Refusal(
            f"{own.phase} to be finished first (round {own.round}), or a way back from it with a higher round",
            f"phase {phase} in round {round_}",
            " or, to go back: ".join([f"to go on: pulumi config set phase {own.phase} && pulumi up", *ways]),
        )
    if phase in MOVES[own.phase]:
        raise Refusal(
            f"a higher round than {own.round} to go back from {own.phase} to {phase}",
            f"round {round_}",
            " or ".join(ways),
        )
    raise Refusal(
        f"a move from {own.phase}: {' or '.join(MOVES[own.phase]) or 'none, it is the end'}",
        f"phase {phase}",
        f"pulumi config set phase {step_towards(own.phase, phase)} && pulumi preview",
    )


def _once_it_had_opened(own: Journal, is_target: bool) -> Tuple[Phase, ...]:
    """Where one goes from a way back that is not finished and on which this database has not opened again: DB_A had opened, and the old
    primary has released the authority to it, or has to follow it to its fence. Cutover opens DB_A again with all that it took. Pure."""
    if is_target:
        had_opened = own.authority in (Authority.HOLDS, Authority.SEALED)
        return (Phase.CUTOVER,) if had_opened and own.phase is Phase.UPGRADE else ()
    if own.authority is not Authority.RELEASED and own.must_apply is None:
        return ()
    return {Phase.UPGRADE: (Phase.CUTOVER,), Phase.PREPARE: (Phase.UPGRADE, Phase.CUTOVER)}.get(own.phase, ())


def _before(own: Optional[Journal]) -> str:
    if own is None:
        return "nothing was announced to this server before"
    return f"before it was {own.phase} in round {own.round}, {'finished' if own.finished else 'unfinished'}"
