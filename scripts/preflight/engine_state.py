"""Whether the engine's state can be read in the night, whatever happens to the engine. Pure."""

from __future__ import annotations

from agent.check_names import CheckName
from scripts import backend
from scripts.preflight.outcome import Fleet, FleetCheck, Outcome, Severity

SIDE = "operator's machine"


def _state(fleet: Fleet) -> Outcome:
    outcome = Outcome()
    if fleet.backend_unseen:
        outcome.unseen[SIDE] = fleet.backend_unseen
    elif backend.in_files_with_metadata(fleet.backend):
        outcome.finds(SIDE, f"{fleet.backend}: {backend.without_metadata(fleet.backend)}")
    else:
        outcome.fine(SIDE)
    return outcome


CHECKS = (
    FleetCheck(
        CheckName.STATE, Severity.REFUSE, (SIDE,),
        "beside each file of its state the engine keeps another one; killed while it writes that, nothing reads the state any more, and writes may be refused",
        "log in to the same place with `?metadata=skip`, as it is printed; the state stays where it is",
        _state,
    ),
)  # fmt: skip
