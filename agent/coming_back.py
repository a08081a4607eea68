"""The old primary takes the writes back from a DB_A that had opened: everything applied up to DB_A's fence, compared, replayed by
DB_B, sequences set. It writes nothing that counts before all of that holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Tuple

from agent import advice, comparison, positions, sequences, way_back
from agent.comparison import Difference
from agent.journal import Fence
from agent.other_side import OtherSide
from agent.postgres import Postgres, wait_until
from agent.report import Refusal, progress
from agent.states import Phase
from agent.subscriber import Subscriber

# Databases looked at side by side: they are little work each, and writes are refused meanwhile.
AT_ONCE = 8


@dataclass(frozen=True)
class Wanted:
    """How the way back is checked: `replay_seconds` for what is still to be applied, `wholly` if contents are compared and not row
    counts alone, `reads_from` is DB_B's address ("" if it is lost). `next_round` is a round above the one under way,
    `compare` the tables (database, schema, name) whose contents are compared in any case."""

    replay_seconds: float
    wholly: bool
    reads_from: str
    jobs: int
    next_round: int
    compare: Tuple[Tuple[str, str, str], ...] = ()

    @classmethod
    def from_desired(cls, back: Mapping[str, Any], round_: int) -> Wanted:
        """As `wayBack` of a desired state has it, in its `round_`."""
        wholly = back["verify"] == "full"
        return cls(float(back["replaySeconds"]), wholly, back["readsFrom"], int(back["jobs"]), advice.higher(round_))

    @property
    def instead(self) -> str:
        """What there is to do but to go on."""
        return (
            f"to have DB_A open again with all that it took: {advice.to(Phase.CUTOVER, self.next_round)}; or, to give up what DB_A"
            f" alone has: {advice.give_up(Phase.PREPARE, self.next_round)}"
        )


def bring_rows(postgres: Postgres, target: OtherSide, fence: Fence, wanted: Wanted) -> Tuple[List[str], Difference]:
    """Have the old primary hold all rows that DB_A held at `fence`. What was done, and how it differs besides. Raises Refusal, and nothing is
    opened then.

    A run that dies goes on: until the end the subscriptions stay enabled, and one that stopped at a row is tried again.
    """
    subscriber = Subscriber(postgres, target, wanted.jobs)
    progress(f"waiting until everything that DB_A wrote up to {fence.lsn} is applied here")
    changed = _wait_for_stream(subscriber, fence, wanted)
    databases = list(subscriber.found())
    progress("comparing every table with DB_A's")
    at_once = max(wanted.jobs, AT_ONCE)
    try:
        difference = comparison.differing(postgres, target, databases, wanted.wholly, at_once, wanted.compare)
    except Refusal as refused:
        raise Refusal(refused.expected, refused.found, f"{refused.do}; or, {wanted.instead}") from None
    wrong = difference.tables
    if wrong:
        raise Refusal(
            "every table here equal to DB_A's",
            "; ".join(wrong[:20]) + (f"; and {len(wrong) - 20} more" if len(wrong) > 20 else ""),
            wanted.instead,
        )
    return changed, difference


def settle(postgres: Postgres, target: OtherSide, difference: Difference, wanted: Wanted, accepted: bool) -> List[str]:
    """The rest, once the rows are here: sequences, DB_B, the end of the stream. What was done. Raises Refusal over what is not as it should be,
    unless a person `accepted` that: then it is told."""
    done = sequences.set_all(postgres, difference.sequences, max(wanted.jobs, AT_ONCE))
    if done.failed and not accepted:
        by_hand = "; ".join(postgres.by_hand(one.makes_room, one.database) for one in done.failed[:20])
        raise Refusal(
            "every sequence set as it is on DB_A",
            "; ".join(str(one) for one in done.failed[:20]),
            f"as root on this server: {by_hand}; then: {advice.again(wanted.next_round)}; or, {wanted.instead}",
        )
    told = [*difference.one_sided, *sequences.as_far_as_bounds_allow(postgres, done.failed)]
    try:
        _wait_for_reads(postgres, wanted)
    except Refusal as late:
        if not accepted:
            raise
        told.append(f"reads will go back for a while: expected {late.expected}, found that {late.found}")
    # Last: nothing is applied any more once this database opens.
    Subscriber(postgres, target, wanted.jobs).disable()
    for sentence in told:
        progress(sentence)
    return [
        f"applied everything that DB_A wrote, in {len(difference.sequences)} databases; {'contents' if wanted.wholly else 'row counts'} are equal",
        f"set {done.number} sequences",
        *told,
    ]


def _wait_for_stream(subscriber: Subscriber, fence: Fence, wanted: Wanted) -> List[str]:
    """Wait until everything up to `fence` is applied; a stream that stopped is tried again, once. What was done. Raises Refusal."""
    do = f"mend what it names, then: {advice.again(wanted.next_round)}; or, {wanted.instead}"
    changed: List[str] = []
    tried = False

    def look() -> Optional[str]:
        nonlocal tried
        behind = subscriber.behind(fence)
        if behind is None:
            return None
        if behind.stopped and (tried or behind.gone):  # no waiting helps, and writes are refused meanwhile
            raise Refusal(
                f"everything that DB_A wrote up to its fence {fence.lsn} to be applied here",
                behind.found,
                wanted.instead if behind.gone else do,
            )
        if behind.stopped:
            tried = True
            changed.extend(subscriber.subscribe(up_to=fence))
        return behind.found

    try:
        wait_until(
            subscriber.postgres.server,
            wanted.replay_seconds,
            f"everything that DB_A wrote up to its fence {fence.lsn} to be applied here",
            look,
            do,
        )
    except Refusal as refused:
        # Before 15 a worker that fails is not disabled: it tries again and again, and only the log tells.
        reasons = "; ".join(way_back.against(subscriber))
        found = f"{refused.found} ({reasons})" if reasons else refused.found
        raise Refusal(refused.expected, found, refused.do) from None
    return changed


def _wait_for_reads(postgres: Postgres, wanted: Wanted) -> None:
    """DB_B serves the reads: what it has not replayed, clients would see vanish."""
    if not wanted.reads_from:
        return
    position = positions.next_record(postgres)["lsn"]

    def look() -> Optional[str]:
        rows = postgres.rows(
            f"SELECT replay_lsn::text AS at, replay_lsn >= '{position}'::pg_lsn AS there FROM pg_stat_replication"
            f" WHERE client_addr = '{wanted.reads_from}'"
        )
        if not rows:
            return "it does not stream"
        return None if any(row["there"] for row in rows) else f"it has replayed up to {rows[0]['at']}"

    wait_until(
        postgres.server,
        wanted.replay_seconds,
        f"DB_B to replay up to {position}",
        look,
        f"see that DB_B streams, then run `pulumi up` again; or, {wanted.instead}",
    )
