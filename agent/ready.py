"""Verb `ready`: what must hold before writes are refused, looked at while there is still time. It changes nothing that stays: it
commits a transaction without content, which the standbys have to replay, and DB_A may make and take away a cluster to try the schema in."""

from __future__ import annotations

from typing import Any, List, Mapping, NoReturn, Optional, Sequence

from agent import access, advice, following, journal, loss, pg_upgrade, publisher, seal, trial, way_back
from agent.cluster import from_desired
from agent.detached import Run
from agent.journal import Authority
from agent.other_side import OtherSide
from agent.postgres import Postgres, wait_until
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import Phase, Verb
from agent.subscriber import Subscriber


def ready(desired: Mapping[str, Any], server: Server) -> Facts:
    """Refuse to go on to `phase` over what would hurt: on the way to readonly, and from cutover back to upgrade. The other moves
    start with writes refused, or give them back, and must not wait."""
    if Phase(desired["phase"]) is Phase.UPGRADE:
        return _ready_to_come_back(desired, server)
    if Phase(desired["phase"]) is Phase.PREPARE and "leaveOut" in desired:
        postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
        ahead = way_back.ahead(postgres, desired["leaveOut"], desired["newVersion"])
        return {"changed": [], "because": "the way to prepare has nothing to wait for", "afterCutover": ahead}
    if Phase(desired["phase"]) is not Phase.READONLY:
        return {"changed": [], "because": f"the way to {desired['phase']} has nothing to wait for"}
    postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
    if desired["side"] == "DB_A":
        _wait_until_built(desired, server)
        access.refuse_taken_out(postgres, Phase.PREPARE)
        _refuse_by_preflight(desired, server)
        new = from_desired(desired["newPostgres"])
        checked = pg_upgrade.check_standby(server, postgres, new, desired["transferMode"])
        tried = trial.hold(server, postgres, new, int(desired["jobs"]), float(desired["upgradeSeconds"]))
        because = "pg_upgrade --check finds this standby upgradable, and its schema could be restored"
        return {"changed": [], "because": because, **checked, **tried}
    own = journal.read(server)
    if access.is_sealed(server, postgres.cluster) or (own is not None and own.authority is Authority.SEALED):
        return {"changed": [], "because": "writes are refused already: the check was made before that"}
    access.refuse_taken_out(postgres, Phase.PREPARE)
    _refuse_by_preflight(desired, server)
    seal.refuse_other_writers(postgres)
    rebuilt = advice.to(Phase.PREPARE, advice.higher(int(desired["round"])))
    lag = following.refuse_late(postgres, desired["standbys"], float(desired["lagSeconds"]), rebuilt)
    return {"changed": [], "because": "the standbys follow, and nothing but clients writes", "lag": lag}


def _wait_until_built(desired: Mapping[str, Any], server: Server) -> None:
    """After a way back DB_A is built anew while writes go on. Nothing can be said of it before that is over. Raises Refusal."""
    run = Run(server, Verb.UPGRADE_TARGET.value)
    wait_until(
        server,
        float(desired["lagSeconds"]),
        "DB_A to be built anew",
        lambda: "it is under way" if run.is_under_way() else None,
        f"wait for it, as this does: {advice.to(Phase.PREPARE, advice.higher(int(desired['round'])))}; on DB_A its progress is in"
        f" {run.progress_file}",
    )


def _refuse_by_preflight(desired: Mapping[str, Any], server: Server) -> None:
    # Only here: thirty modules that the moves with writes refused need not load.
    from agent.preflight import refuse_open  # noqa: PLC0415

    refuse_open({"names": {}, "tasks": [], **desired, **desired["preflight"]}, server)


def _ready_to_come_back(desired: Mapping[str, Any], server: Server) -> Facts:
    """While DB_A takes writes, the way back begins only if it will lose nothing, or if a person said that it may."""
    own, on_target = journal.must_read(server), desired["side"] == "DB_A"
    if own.authority is not (Authority.HOLDS if on_target else Authority.RELEASED):
        return {"changed": [], "because": "writes are refused already, or nothing was written on DB_A"}
    postgres = Postgres(server, from_desired(desired["newPostgres" if on_target else "postgres"]), desired["address"])
    if on_target:
        access.refuse_taken_out(postgres, Phase.CUTOVER)
    if on_target:
        # DB_A's seal would wait for a prepared transaction in vain, with writes refused.
        seal.refuse_other_writers(postgres)
        wrong = publisher.changes(postgres, int(desired["jobs"]))
    else:
        target = OtherSide.from_desired(desired["otherSide"], server, postgres.cluster.program("psql"))
        theirs = journal.from_json(target.journal())
        if theirs.authority is not Authority.HOLDS:
            return {"changed": [], "because": "DB_A has not opened: nothing was written there"}
        subscriber = Subscriber(postgres, target, int(desired["jobs"]))
        wrong = _stream_behind(subscriber, desired)
        if wrong:
            wrong.append(f"what would be lost now: {loss.told(subscriber)}")
    if wrong and desired.get("acceptDataLoss") is not True:
        refuse_loss(wrong, on_target, advice.higher(own.round))
    return {
        "changed": [],
        "because": "the way back loses nothing" if not wrong else "a person accepted the loss",
        "lost": wrong,
    }


def refuse_loss(wrong: Sequence[str], on_target: bool, next_round: int) -> NoReturn:
    """Raises Refusal over what a way back would lose. `next_round`: one above the round under way."""
    found = "; ".join(wrong[:20]) + (f"; and {len(wrong) - 20} more" if len(wrong) > 20 else "")
    do = (
        f"stay in cutover and mend it: {advice.to(Phase.CUTOVER, next_round)}; or, once it is mended, go back:"
        f" {advice.to(Phase.UPGRADE, next_round)}; or, to lose it on the way back: {advice.give_up(Phase.UPGRADE, next_round)}"
    )
    if on_target:
        raise Refusal("nothing made, changed or dropped on DB_A that the stream back does not carry", found, do)
    raise Refusal("the old primary to follow DB_A closely, in every database", found, do)


def _stream_behind(subscriber: Subscriber, desired: Mapping[str, Any]) -> List[str]:
    """What stands against a way back without loss. Waits `lagSeconds` for what is not applied yet."""
    wrong = way_back.against(subscriber)
    if wrong:
        return wrong
    most = int(desired["lagBytes"])

    def look() -> Optional[str]:
        behind = way_back.lag_bytes(subscriber)
        return None if behind <= most else f"it is {behind} bytes behind"

    try:
        wait_until(
            subscriber.postgres.server,
            float(desired["lagSeconds"]),
            f"the old primary to be at most {most} bytes behind DB_A",
            look,
            "wait until it is",
        )
    except Refusal as refused:
        return [refused.found]
    return []
