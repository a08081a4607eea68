"""The table and the moves."""

from __future__ import annotations

import itertools

import pytest

from agent.states import MOVES, Gate, Phase
from components.order import BEGIN_WITH, ORDER, Part
from components.phases import TABLE, Lead, MoveRefusedError, check_move, check_taken_back

ALLOWED: set[tuple[Phase, Phase]] = {(before, to) for before, moves in MOVES.items() for to in moves}
ALLOWED |= {(phase, phase) for phase in Phase}


@pytest.mark.parametrize(("before", "to"), list(itertools.product(Phase, Phase)))
def test_every_pair_of_phases_is_a_move_or_is_refused_by_name(before: Phase, to: Phase) -> None:
    """A pair nobody thought of would let `up` begin half a move."""
    if (before, to) in ALLOWED:
        check_move(before, 1, to, 2)
        return
    with pytest.raises(MoveRefusedError) as refused:
        check_move(before, 1, to, 2)
    assert all(move.value in str(refused.value) for move in MOVES[before])


def test_the_moves_are_those_of_the_design() -> None:
    """design.md: prepare <-> readonly -> upgrade <-> cutover <-> replicas -> retire, and upgrade -> prepare; and the window's own, with
    upgrade and cutover in one."""
    assert {before.value: {to.value for to in moves} for before, moves in MOVES.items()} == {
        "prepare": {"readonly"},
        "readonly": {"upgrade", "cutover", "prepare"},
        "upgrade": {"cutover", "prepare"},
        "cutover": {"replicas", "upgrade"},
        "replicas": {"retire", "cutover"},
        "retire": set(),
    }


def test_a_new_stack_begins_with_prepare() -> None:
    """A stack whose first phase were cutover would have nothing to cut over to."""
    check_move(None, 0, Phase.PREPARE, 1)
    with pytest.raises(MoveRefusedError, match="begins with phase prepare"):
        check_move(None, 0, Phase.CUTOVER, 1)


def test_going_back_needs_a_higher_round_and_going_on_does_not() -> None:
    """Without a higher round the engine would see steps that did not change, and do nothing."""
    check_move(Phase.PREPARE, 3, Phase.READONLY, 3)
    with pytest.raises(MoveRefusedError, match="pulumi config set round 4"):
        check_move(Phase.READONLY, 3, Phase.PREPARE, 3)


def test_an_old_primary_that_db_a_opened_without_is_lost_for_good() -> None:
    """Taken back by a line of config it would be asked for what DB_A has taken since."""
    check_taken_back(None, "db1", "db-a", lost=False)
    check_taken_back("db1", "db1", "db-a", lost=True)
    check_taken_back("db1", "db9", "db-a", lost=False)
    with pytest.raises(MoveRefusedError, match=r"config set --path servers\.db1\.lost true && pulumi up"):
        check_taken_back("db1", "db1", "db-a", lost=False)


def test_a_stale_checkout_is_refused() -> None:
    """An old checkout's `up` would take the fleet back to what it was when that checkout was made."""
    with pytest.raises(MoveRefusedError, match="stale checkout"):
        check_move(Phase.READONLY, 3, Phase.READONLY, 2)


@pytest.mark.parametrize("phase", Phase)
def test_every_part_stands_in_every_order_exactly_once(phase: Phase) -> None:
    """A part left out of one phase would be deleted by the engine there, and its state forgotten."""
    parts = [part for stage in ORDER[phase] for part in stage]
    assert sorted(parts) == sorted(part for part in Part if begun(part, phase))


def begun(part: Part, phase: Phase) -> bool:
    order = list(Phase)
    return order.index(BEGIN_WITH.get(part, Phase.PREPARE)) <= order.index(phase)


def before(phase: Phase, first: Part, second: Part) -> bool:
    stages = ORDER[phase]
    where = {part: number for number, stage in enumerate(stages) for part in stage}
    return where[first] < where[second]


@pytest.mark.parametrize(
    ("phase", "first", "second"),
    [
        # Writes work again before anything slow starts, and before DB_A has to be reachable.
        (Phase.PREPARE, Part.OLD_PRIMARY_GATE, Part.ONLINE_HOSTS),
        (Phase.PREPARE, Part.ONLINE_HOSTS, Part.ONLINE_SESSIONS),
        (Phase.PREPARE, Part.TASKS, Part.ANNOUNCE_TARGET),
        (Phase.PREPARE, Part.CREDENTIALS, Part.TARGET_DATABASE),
        # Reads are led away before the old primary refuses anybody, and nothing is refused before all is ready.
        (Phase.READONLY, Part.READY, Part.ANNOUNCE_TARGET),
        (Phase.READONLY, Part.READY, Part.ANNOUNCE_OLD_PRIMARY),
        (Phase.READONLY, Part.READY, Part.TASKS),
        (Phase.READONLY, Part.TASKS, Part.ONLINE_HOSTS),
        (Phase.READONLY, Part.LOAD_BALANCER, Part.ONLINE_HOSTS),
        (Phase.READONLY, Part.ONLINE_HOSTS, Part.OLD_PRIMARY_GATE),
        # The fence stands before DB_A is promoted; on the way back DB_A renounces before authority is taken back.
        (Phase.UPGRADE, Part.OLD_PRIMARY_GATE, Part.TARGET_DATABASE),
        (Phase.UPGRADE, Part.TARGET_GATE, Part.OLD_PRIMARY_GATE),
        (Phase.UPGRADE, Part.ONLINE_HOSTS, Part.TARGET_GATE),
        # The old primary releases before DB_A opens, and names lead there only once it is open.
        (Phase.CUTOVER, Part.OLD_PRIMARY_GATE, Part.TARGET_GATE),
        (Phase.CUTOVER, Part.TARGET_GATE, Part.ONLINE_HOSTS),
        (Phase.CUTOVER, Part.ONLINE_HOSTS, Part.OTHER_HOSTS),
        (Phase.CUTOVER, Part.OTHER_HOSTS, Part.TASKS),
        # Names have left the new replicas before their sessions end, and what need not be reachable holds nothing up.
        (Phase.CUTOVER, Part.OTHER_HOSTS, Part.NEW_REPLICA_SESSIONS),
        (Phase.CUTOVER, Part.TASKS, Part.NEW_REPLICA_SESSIONS),
        # A name leads to a new replica once it streams, a commit waits for it from then on, and nothing stops while it is used.
        (Phase.REPLICAS, Part.REPLICATION, Part.NEW_REPLICAS),
        (Phase.REPLICAS, Part.NEW_REPLICAS, Part.SYNCHRONOUS_REPLICATION),
        (Phase.REPLICAS, Part.NEW_REPLICAS, Part.ONLINE_HOSTS),
        (Phase.REPLICAS, Part.NEW_REPLICAS, Part.OTHER_HOSTS),
        # What is announced has no way back.
        (Phase.RETIRE, Part.UNUSED, Part.ANNOUNCE_TARGET),
        (Phase.RETIRE, Part.UNUSED, Part.REVERSE_REPLICATION),
        (Phase.RETIRE, Part.REVERSE_REPLICATION, Part.REPLICATION),
        (Phase.RETIRE, Part.REPLICATION, Part.RETIREMENT),
    ],
)
def test_what_must_wait_waits(phase: Phase, first: Part, second: Part) -> None:
    """Each pair the other way round loses reads, writes or time."""
    assert before(phase, first, second)


def test_at_most_one_database_is_open_in_any_phase() -> None:
    """Two open databases are two histories."""
    for parts in TABLE.values():
        assert [parts.old_primary, parts.upgrade_target].count(Gate.OPEN) <= 1


def test_names_never_lead_to_a_sealed_database() -> None:
    """Reads through every name, in every phase (design.md, invariant 3)."""
    for parts in TABLE.values():
        if parts.online_hosts in (Lead.DB_A, Lead.SPREAD):
            assert parts.upgrade_target is Gate.OPEN
        if parts.online_hosts is Lead.AS_THEY_WERE:
            assert parts.old_primary is Gate.OPEN
