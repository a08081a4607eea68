"""Verb `finish`: the last step of every `up`. It verifies who holds the authority and marks the phase done in the journal."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

from agent import advice, journal
from agent.cluster import from_desired
from agent.journal import Authority
from agent.other_side import OtherSide
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import Phase

EXPECTED: Dict[str, Dict[Phase, Tuple[Authority, ...]]] = {
    "old primary": {
        Phase.PREPARE: (Authority.HOLDS,),
        Phase.READONLY: (Authority.SEALED,),
        Phase.UPGRADE: (Authority.SEALED,),
        Phase.CUTOVER: (Authority.RELEASED,),
        Phase.REPLICAS: (Authority.RELEASED,),
        Phase.RETIRE: (Authority.RELEASED,),
    },
    "DB_A": {
        # Sealed: it had opened, and is built anew by and by.
        Phase.PREPARE: (Authority.NONE, Authority.SEALED),
        Phase.READONLY: (Authority.NONE,),
        Phase.UPGRADE: (Authority.NONE, Authority.SEALED),
        Phase.CUTOVER: (Authority.HOLDS,),
        Phase.REPLICAS: (Authority.HOLDS,),
        Phase.RETIRE: (Authority.HOLDS,),
    },
}


def finish(desired: Mapping[str, Any], server: Server) -> Facts:
    """Mark `phase` in `round` finished on this `side`. Raises Refusal if the journal says otherwise of phase, round or authority."""
    own = journal.must_read(server)
    phase, round_ = Phase(desired["phase"]), int(desired["round"])
    expected = EXPECTED[desired["side"]][phase]
    if (own.phase, own.round) != (phase, round_) or own.authority not in expected:
        raise Refusal(
            f"{phase} in round {round_} with the authority {' or '.join(repr(one.value) for one in expected)}",
            f"{own.phase} in round {own.round} with {own.authority.value!r}",
            f"see who else moved, then: {advice.to(phase, advice.higher(round_, own.round))}",
        )
    facts: Facts = {"phase": phase.value, "round": round_, "authority": own.authority.value, "epoch": own.epoch}
    if own.alone:
        facts["alone"] = True
    if own.finished:
        return {"changed": [], "because": "it was finished already", **facts}
    if desired["side"] == "DB_A" and phase is Phase.READONLY:
        _remember_fence(desired, server)
    journal.update(server, finished=True)
    return {
        "changed": [f"{phase} in round {round_} is finished"],
        "because": "every step before this one succeeded",
        **facts,
    }


def _remember_fence(desired: Mapping[str, Any], server: Server) -> None:
    """If the old primary dies from here on, DB_A knows how far it must have replayed to go on without it."""
    psql = from_desired(desired["postgres"]).program("psql")
    theirs = journal.from_json(OtherSide.from_desired(desired["otherSide"], server, psql).journal())
    journal.update(server, fence=theirs.fence, epoch=theirs.epoch)
