"""The old primary takes the writes back from a DB_A that had opened: everything applied up to DB_A's fence, compared, replayed by
DB_B, sequences set. It writes nothing that counts before all of that holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional

from agent import comparison, positions, sequences
from agent.journal import Fence
from agent.other_side import OtherSide
from agent.postgres import Postgres, wait_until
from agent.report import Refusal, progress
from agent.subscriber import DISABLE, Subscriber

# Databases looked at side by side: they are little work each, and writes are refused meanwhile.
AT_ONCE = 8
TO_CUTOVER = "pulumi config set phase cutover, raise the round, pulumi up: DB_A opens again with all that it took"
GIVE_UP = (
    "to give up what DB_A alone has, and what it is: pulumi config set acceptDataLoss true, raise the round, pulumi up"
)


@dataclass(frozen=True)
class Wanted:
    """How the way back is checked: `replay_seconds` for what is still to be applied, `wholly` if contents are compared and not row
    counts alone, `reads_from` is DB_B's address ("" if it is lost)."""

    replay_seconds: float
    wholly: bool
    reads_from: str
    jobs: int

    @classmethod
    def from_desired(cls, back: Mapping[str, Any]) -> Wanted:
        """As `wayBack` of a desired state has it."""
        return cls(float(back["replaySeconds"]), back["verify"] == "full", back["readsFrom"], int(back["jobs"]))


def come_back(postgres: Postgres, target: OtherSide, fence: Fence, wanted: Wanted) -> List[str]:
    """Have the old primary hold all that DB_A held at `fence`. What was done. Raises Refusal, and nothing is opened then."""
    subscriber = Subscriber(postgres, target, wanted.jobs)
    progress(f"waiting until everything that DB_A wrote up to {fence.lsn} is applied here")
    do = f"scripts/status says what stops it; then raise the round, pulumi up; or {TO_CUTOVER}; or {GIVE_UP}"

    def look() -> Optional[str]:
        behind = subscriber.behind(fence)
        stopped = subscriber.stopped() if behind else []
        if stopped:  # no waiting helps, and writes are refused meanwhile
            raise Refusal(
                f"everything that DB_A wrote up to its fence {fence.lsn} to be applied here", "; ".join(stopped), do
            )
        return behind

    wait_until(
        postgres.server,
        wanted.replay_seconds,
        f"everything that DB_A wrote up to its fence {fence.lsn} to be applied here",
        look,
        do,
    )
    databases = list(subscriber.found())
    progress("comparing every table with DB_A's")
    at_once = max(wanted.jobs, AT_ONCE)
    difference = comparison.differing(postgres, target, databases, wanted.wholly, at_once)
    wrong = difference.tables
    if wrong:
        raise Refusal(
            "every table here equal to DB_A's",
            "; ".join(wrong[:20]) + (f"; and {len(wrong) - 20} more" if len(wrong) > 20 else ""),
            f"{TO_CUTOVER}; or {GIVE_UP}",
        )
    set_ = sequences.set_all(postgres, difference.sequences, DISABLE, at_once)
    _wait_for_reads(postgres, wanted)
    return [
        f"applied everything that DB_A wrote, in {len(databases)} databases; {'contents' if wanted.wholly else 'row counts'} are equal",
        f"set {set_} sequences",
    ]


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
        "see that DB_B streams, then run `pulumi up` again",
    )
