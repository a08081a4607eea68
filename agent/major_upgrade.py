"""DB_A as the new version's primary: fence replayed, promoted, stopped, pg_upgrade, started sealed on the old port."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional

from agent import (
    advice,
    authority,
    configuration,
    first_start,
    journal,
    new_cluster,
    old_replicas,
    older_image,
    pg_upgrade,
    slots,
    trial_cluster,
)  # fmt: skip
from agent.cluster import OS_USER
from agent.configuration import Carried
from agent.journal import Authority, Fence
from agent.postgres import as_json, wait_until
from agent.report import Facts, Refusal, progress
from agent.states import Phase
from agent.target import UpgradeTarget


def major_upgrade(target: UpgradeTarget) -> Facts:
    """Bring DB_A to the new version, from exactly the old primary's fence. Raises Refusal; DB_A then serves nobody."""
    own = journal.must_read(target.server)
    came = target.progress().get("newCluster")
    if (
        own.authority is not Authority.NONE
    ):  # the old primary follows it, so the fence that it was upgraded at is history
        changed = [] if target.new.is_running() else ["started PostgreSQL"]
        target.new.start()
        return {"changed": changed, "because": f"DB_A has opened before (authority: {own.authority.value})"}
    fence = _live_fence(target)
    if came == "upgraded":
        if own.upgraded_at != fence:
            raise Refusal(
                f"DB_A upgraded at the fence {fence}", f"it was upgraded at {own.upgraded_at}", target.to_prepare
            )
        changed = [] if target.new.is_running() else ["started PostgreSQL"]
        target.new.start()
        first_start.verify_sealed(target)
        changed += first_start.gather_statistics(target)
        return {"changed": changed, "because": "DB_A was upgraded at this fence already", "fence": vars(fence)}
    if came != "filled" and target.is_promoted() and own.upgraded_at != fence and not target.is_linked():
        raise Refusal(f"DB_A promoted at the fence {fence}", "it was promoted at another one", target.to_prepare)
    seconds = bring_to_new_version(target, lambda: _promote(target, fence))
    return {
        "changed": [f"upgraded from {target.old.cluster.version} to {target.new.cluster.version}"],
        "because": f"the old primary is sealed, and DB_A had replayed its fence {fence.lsn}",
        "fence": vars(fence),
        "seconds": seconds,
    }


def bring_to_new_version(target: UpgradeTarget, promotion: Callable[[], None]) -> Dict[str, float]:
    """From a standby, or from where an earlier run stopped, to the new version, started sealed. `promotion` is called if it is a standby
    still. The seconds of each act. Raises Refusal."""
    began = target.server.monotonic()
    came = target.progress().get("newCluster")
    seconds: Dict[str, float] = {}
    if came != "filled":
        _refuse_linked(target)
        trial_cluster.clear(target.server, target.new.cluster)  # one that died would hold pg_upgrade's port
        if not target.is_promoted():
            _timed(target, seconds, "promote", promotion)
        _drop_slot(target)
        if came != "fresh":
            # An earlier run of pg_upgrade stopped before it linked anything: the new cluster is made again, the old one is whole.
            target.old.start()
            new_cluster.make(target, _latest(target))
        else:
            _carry_again(target)
        _timed(target, seconds, "stop", target.old.stop)
        left = target.limits.upgrade - (target.server.monotonic() - began)
        _timed(target, seconds, "pg_upgrade", lambda: _run_pg_upgrade(target, left))
    _timed(target, seconds, "start", lambda: first_start.start_sealed(target))
    return seconds


def _latest(target: UpgradeTarget) -> Carried:
    """The old primary's configuration of now; of a lost one, what was carried last."""
    before = configuration.kept(target.server)
    return before if target.primary.lost and before is not None else configuration.read_old_primary(target.primary)


def _carry_again(target: UpgradeTarget) -> None:
    """What changed on the old primary since it was sealed comes along, too. What cannot be told, or does not fit, is left: writes are
    refused, and DB_A is configured as the old primary was before."""
    before = configuration.kept(target.server)
    try:
        now = _latest(target)
        if now != before:
            new_cluster.configure(target, now)
            configuration.keep(target.server, now)
    except Refusal as refused:
        if before is None:
            raise
        progress(f"DB_A keeps the configuration that was carried before: {refused.found}")
        new_cluster.configure(target, before)


def _timed(target: UpgradeTarget, seconds: Dict[str, float], name: str, act: Callable[[], None]) -> None:
    began = target.server.monotonic()
    act()
    seconds[name] = round(target.server.monotonic() - began, 2)


def _refuse_linked(target: UpgradeTarget) -> None:
    if target.is_linked():
        raise Refusal(
            "a DB_A that pg_upgrade did not touch, or one that it finished",
            "an earlier run of pg_upgrade stopped after it began to link files, so the old cluster here cannot be started",
            target.to_prepare,
        )


def _live_fence(target: UpgradeTarget) -> Fence:
    """The old primary's fence, proved right now; if it is lost, the one that DB_A remembers. Raises Refusal."""
    if target.primary.lost:
        return _remembered_fence(target)
    own, theirs = journal.must_read(target.server), journal.from_json(target.primary.journal())
    older_image.refuse_older_target(own, theirs, target.name)
    next_xid = target.primary.next_xid()
    older_image.refuse_used_up(theirs, own, next_xid, target.name)
    return authority.proven(theirs, next_xid)


def _remembered_fence(target: UpgradeTarget) -> Fence:
    """What DB_A was promoted at, or was told of when readonly was finished. The old primary is lost, and must not answer."""
    own = journal.must_read(target.server)
    fence = own.upgraded_at or own.fence
    if fence is None:
        raise Refusal(
            f"a fence of {target.primary.name}, which the stack calls lost, in DB_A's journal",
            "none: phase readonly was never finished",
            "promote an old replica by your own means; DB_A cannot tell how much it has",
        )
    target.primary.refuse_if_it_answers(advice.again(advice.higher(own.round)))
    return fence


def _promote(target: UpgradeTarget, fence: Fence) -> None:
    """Replay up to the fence, prove it once more, promote."""
    server, old = target.server, target.old
    if not old.is_running():
        old.start()

    def look() -> Optional[str]:
        row = old.row(
            f"SELECT pg_last_wal_replay_lsn()::text AS at, pg_last_wal_replay_lsn() >= '{fence.lsn}'::pg_lsn AS there"
        )
        return None if row["there"] else f"it has replayed up to {row['at']}"

    wait_until(
        server,
        target.limits.replay,
        f"DB_A to replay the fence {fence.lsn}",
        look,
        f"see that DB_A streams; if it cannot: {target.to_prepare}",
    )
    if _live_fence(target) != fence or journal.must_read(server).phase not in (Phase.UPGRADE, Phase.CUTOVER):
        raise Refusal(
            f"the fence {fence} to stand until DB_A is promoted, in phase upgrade or cutover",
            "it moved, or the phase did",
            target.to_prepare,
        )
    old_replicas.refuse_promoted(target.old_replicas, old)
    if target.primary.lost:
        old_replicas.refuse_own_ahead(old, fence)
        old_replicas.refuse_ahead(target.old_replicas, old, fence)
    journal.update(server, upgraded_at=fence)
    promote(target)


def promote(target: UpgradeTarget) -> None:
    """Make a primary of the standby. Raises Refusal."""
    old = target.old
    target.note(databases=str(len(old.databases())))
    progress("promoting DB_A")
    old.execute("SELECT pg_promote(true, 60);")
    wait_until(
        target.server,
        60,
        "DB_A to be promoted",
        lambda: "it is still in recovery" if old.in_recovery() else None,
        f"see its log; {target.to_prepare}",
    )


def _drop_slot(target: UpgradeTarget) -> None:
    """Nobody streams from DB_A's slot on the old primary any more. Always: a run before this one may have died after the promotion."""
    primary = target.primary
    if not primary.lost:
        slots.drop(target.server, lambda query: primary.read_json(as_json(query)), f"slot_name = '{target.slot}'")


def _run_pg_upgrade(target: UpgradeTarget, seconds: float) -> None:
    server, old, new = target.server, target.old.cluster, target.new.cluster
    folder = pg_upgrade.prepare_folder(server, f"run-{server.now():.0f}", old.superuser)
    said: List[str] = []

    def on_line(line: str) -> None:
        sentence = pg_upgrade.progress_of(line)
        if sentence:
            said.append(sentence)
            progress(f"pg_upgrade: {sentence}")

    target.note(newCluster="used", folder=folder)
    status = server.stream(
        *pg_upgrade.command(server, old, new, target.transfer_mode, target.jobs, check=False),
        user=OS_USER, seconds=max(seconds, 1), folder=folder, on_line=on_line, environment=pg_upgrade.environment(old),
    )  # fmt: skip
    if status == 0:
        target.note(newCluster="filled")
        pg_upgrade.keep_logs(server, new, folder)
        return
    target.old.stop()
    target.new.stop()
    if status is None:
        pg_upgrade.keep_logs(server, new, folder)
        raise Refusal(
            f"DB_A upgraded within {target.limits.upgrade:g} s (limits.upgradeSeconds)",
            f"pg_upgrade was still at: {said[-1] if said else 'its beginning'}; it was ended, DB_A is stopped, its logs are in {folder}",
            target.to_prepare,
        )
    refused = pg_upgrade.refusal(server, new, folder, "\n".join(said))
    raise Refusal(refused.expected, f"{refused.found} (DB_A is stopped; logs are kept in {folder})", target.to_prepare)
