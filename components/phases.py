"""The program is one table: what each part is in each phase, and the moves between phases. Pure; design.md's table in code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent import advice
from agent.states import MOVES, Gate, Phase, Stream, Target, Tasks, goes_back, step_towards


class Lead(StrEnum):
    """Where database names lead on a server."""

    AS_THEY_WERE = "as they were"
    DB_B = "DB_B"
    DB_A = "DB_A"
    SPREAD = "spread"


@dataclass(frozen=True)
class Parts:
    """One column of the table: what every part of the fleet is in a phase.

    `new_replicas`: names lead to the new version's replicas, which stream. Before `replicas` nobody is told to take them away: one that
    is there after a way back serves nobody, and is made anew if DB_A was.
    """

    tasks: Tasks
    kept_tasks: Tasks
    drained_in_load_balancer: bool
    online_hosts: Lead
    other_hosts: Lead
    old_primary: Gate
    database: Target
    upgrade_target: Gate
    stream: Stream
    new_replicas: bool
    old_servers_run: bool


TABLE: dict[Phase, Parts] = {
    Phase.PREPARE: Parts(
        tasks=Tasks.RUNNING,
        kept_tasks=Tasks.RUNNING,
        drained_in_load_balancer=True,
        online_hosts=Lead.AS_THEY_WERE,
        other_hosts=Lead.AS_THEY_WERE,
        old_primary=Gate.OPEN,
        database=Target.STANDBY,
        upgrade_target=Gate.SEALED,
        stream=Stream.NONE,
        new_replicas=False,
        old_servers_run=True,
    ),
    Phase.READONLY: Parts(
        tasks=Tasks.STOPPED,
        kept_tasks=Tasks.RUNNING,
        drained_in_load_balancer=False,
        online_hosts=Lead.DB_B,
        other_hosts=Lead.AS_THEY_WERE,
        old_primary=Gate.SEALED,
        database=Target.STANDBY,
        upgrade_target=Gate.SEALED,
        stream=Stream.NONE,
        new_replicas=False,
        old_servers_run=True,
    ),
    Phase.UPGRADE: Parts(
        tasks=Tasks.STOPPED,
        kept_tasks=Tasks.STOPPED,
        drained_in_load_balancer=False,
        online_hosts=Lead.DB_B,
        other_hosts=Lead.AS_THEY_WERE,
        old_primary=Gate.SEALED,
        database=Target.PRIMARY,
        upgrade_target=Gate.SEALED,
        stream=Stream.READY,
        new_replicas=False,
        old_servers_run=True,
    ),
    Phase.CUTOVER: Parts(
        tasks=Tasks.RUNNING,
        kept_tasks=Tasks.RUNNING,
        drained_in_load_balancer=True,
        online_hosts=Lead.DB_A,
        other_hosts=Lead.DB_A,
        old_primary=Gate.RELEASED,
        database=Target.PRIMARY,
        upgrade_target=Gate.OPEN,
        stream=Stream.APPLYING,
        new_replicas=False,
        old_servers_run=True,
    ),
    Phase.REPLICAS: Parts(
        tasks=Tasks.RUNNING,
        kept_tasks=Tasks.RUNNING,
        drained_in_load_balancer=True,
        online_hosts=Lead.SPREAD,
        other_hosts=Lead.SPREAD,
        old_primary=Gate.RELEASED,
        database=Target.PRIMARY,
        upgrade_target=Gate.OPEN,
        stream=Stream.APPLYING,
        new_replicas=True,
        old_servers_run=True,
    ),
    Phase.RETIRE: Parts(
        tasks=Tasks.RUNNING,
        kept_tasks=Tasks.RUNNING,
        drained_in_load_balancer=True,
        online_hosts=Lead.SPREAD,
        other_hosts=Lead.SPREAD,
        old_primary=Gate.RELEASED,
        database=Target.PRIMARY,
        upgrade_target=Gate.OPEN,
        stream=Stream.REMOVED,
        new_replicas=True,
        old_servers_run=False,
    ),
}


class MoveRefusedError(Exception):
    """There is no such move, or it needs a higher round; the message names what to type instead."""


def check_taken_back(opened_without: str | None, primary: str, target: str, *, lost: bool) -> None:
    """Refuse an old primary that is called lost no more, though DB_A (`target`) opened without it. Raises MoveRefusedError."""
    if opened_without != primary or lost:
        return
    raise MoveRefusedError(
        f"{target} opened without {primary}, which was called lost, and has taken writes that {primary} does not have: it is not taken back.\n"
        f'It can serve again only made anew, emptied, as a new replica of {target} (docs/recovery.md, "A server died").\n'
        f"To do: {advice.lost(primary, advice.UP)}"
    )


def check_move(
    before: Phase | None,
    before_round: int,
    to: Phase,
    to_round: int,
    *,
    without_target: bool = False,
    moves: Mapping[Phase, Sequence[Phase]] = MOVES,
) -> None:
    """Refuse what is no move from the last phase that finished, as far as the stack's own outputs can tell.

    `before` is None on a stack's first run. `without_target`: DB_A is lost; the old primary then asks for a person's word. `moves`: those
    there are; a rehearsal has others. The servers' journals refuse the rest (an unfinished phase, a stale checkout).
    Raises MoveRefusedError.
    """
    if before is None:
        if to is not Phase.PREPARE:
            raise MoveRefusedError(
                f"A new stack begins with phase {Phase.PREPARE}, not {to}.\n"
                f"To do: pulumi config set phase {Phase.PREPARE} && pulumi preview"
            )
        return
    if to_round < before_round:
        raise MoveRefusedError(
            f"The stack finished {before} in round {before_round}, and this checkout asks for round {to_round}: it is a stale checkout.\n"
            f"To do: fetch the newest configuration; or, if this one is right: {advice.again(advice.higher(before_round))}"
        )
    if to is before:
        return
    nothing_left = before in (Phase.CUTOVER, Phase.REPLICAS) and without_target
    given_up = nothing_left and to is Phase.PREPARE
    next_round = advice.higher(before_round, to_round)
    if (to not in moves[before] or nothing_left) and not given_up:
        if not moves[before]:
            raise MoveRefusedError(
                f"From {before} there is no move to {to}: {before} is the end, the old servers are stopped.\n"
                f"To do: pulumi config set phase {before} && {advice.PREVIEW}"
            )
        there_are = "prepare" if nothing_left else " or ".join(moves[before])
        step = Phase.PREPARE if nothing_left else step_towards(before, to)
        forward = f"pulumi config set phase {step} && {advice.PREVIEW}"
        raise MoveRefusedError(
            f"From {before} there is no move to {to}; from {before} one goes to {there_are}.\n"
            f"To do: {advice.to(step, next_round) if goes_back(before, step) else forward}"
        )
    if goes_back(before, to) and to_round == before_round:
        raise MoveRefusedError(
            f"Going back from {before} to {to} needs a higher round than {before_round}, so that every step looks again.\n"
            f"To do: {advice.to(to, next_round)}"
        )
