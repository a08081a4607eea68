"""All that a drill does, in its order: each exercise says in which phase it begins, so that one may follow another that failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rehearsal.drill import at_cutover, at_prepare, at_readonly, at_upgrade, practice, web_servers
from rehearsal.drill.night import Night
from rehearsal.drill.story import Fault, Practice
from rehearsal.rehearse import Judgement


@dataclass(frozen=True)
class Exercise:
    """One piece of a drill: what is told of it, what it does, and the phase that it begins in, finished; None
    where pgleap has not been yet."""

    tells: tuple[Fault | Practice, ...]
    do: Callable[[Night, Judgement], None]
    begins: str | None

    @property
    def name(self) -> str:
        """What it is called."""
        return "; ".join(one.value for one in self.tells)


def _fault(do: Callable[[Night], None], begins: str | None, *tells: Fault) -> Exercise:
    return Exercise(tells, lambda night, _: do(night), begins)


EXERCISES = (
    _fault(at_prepare.disk_full_at_base_backup, None, Fault.DISK_FULL_AT_BASE_BACKUP),
    Exercise((Practice.FROM_READONLY,), practice.from_readonly, "prepare"),
    Exercise((Practice.FROM_UPGRADE,), practice.from_upgrade, "readonly"),
    _fault(at_readonly.prepared_transaction, "prepare", Fault.PREPARED_TRANSACTION),
    _fault(at_readonly.lag_before, "prepare", Fault.LAG_BEFORE),
    _fault(at_readonly.engine_killed_at_readonly, "prepare", Fault.ENGINE_KILLED_AT_READONLY),
    _fault(at_readonly.primary_dies_sealed, "readonly", Fault.PRIMARY_DIES_SEALED),
    _fault(at_readonly.old_sessions, "prepare", Fault.OLD_SESSIONS),
    _fault(at_readonly.logical_consumer, "prepare", Fault.LOGICAL_CONSUMER),
    _fault(at_readonly.engine_killed_at_prepare, "prepare", Fault.ENGINE_KILLED_AT_PREPARE),
    _fault(at_readonly.interrupted_at_readonly, "prepare", Fault.INTERRUPTED_AT_READONLY),
    _fault(web_servers.unreachable_at_readonly, "prepare", Fault.UNREACHABLE_AT_READONLY),
    _fault(web_servers.mute_at_readonly, "prepare", Fault.MUTE_AT_READONLY),
    _fault(at_upgrade.lag_at_fence, "prepare", Fault.LAG_AT_FENCE),
    _fault(at_upgrade.disk_full_at_upgrade, "prepare", Fault.DISK_FULL_AT_UPGRADE),
    _fault(at_upgrade.library_missing, "prepare", Fault.LIBRARY_MISSING),
    _fault(at_upgrade.interrupted_at_upgrade, "prepare", Fault.INTERRUPTED_AT_UPGRADE),
    _fault(at_upgrade.ssh_cut_at_upgrade, "prepare", Fault.SSH_CUT_AT_UPGRADE),
    _fault(at_upgrade.interrupted_at_cutover, "upgrade", Fault.INTERRUPTED_AT_CUTOVER),
    _fault(at_cutover.upgrade_comes_through, "prepare", Fault.NETWORK_CUT_AT_REPLAY, Fault.ENGINE_KILLED_AT_UPGRADE),
    _fault(
        at_cutover.cutover_comes_through,
        "upgrade",
        Fault.ENGINE_KILLED_AT_CUTOVER,
        Fault.NETWORK_CUT_AT_CUTOVER,
        Fault.WEB_SERVERS_AT_CUTOVER,
    ),
    Exercise((Practice.FROM_CUTOVER,), practice.from_cutover, "cutover"),
)
"""Every fault and every way back, once."""
