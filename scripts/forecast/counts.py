"""How much there is to upgrade now, asked of the old primary and of DB_A: a second, nothing is installed, and it only reads."""

from __future__ import annotations

from collections.abc import Mapping

from components.settings import Role, Settings
from scripts.forecast.run import Shape
from scripts.preflight.ask import ask_facts
from scripts.preflight.outcome import Said

DEADLINE = 15.0
# One step asks all of them, however many they are (components/part.py, ManyServersPart).
ASKED_TOGETHER = (Role.DRAINED, Role.WORKER)
COUNTS = ("databases", "relations", "mostRelations", "largeObjects", "dataBytes")


class CountsError(Exception):
    """What there is to upgrade is not known; the message says why, and what to do."""


def present(settings: Settings, deadline: float = DEADLINE) -> Shape:
    """The shape of a window on this fleet. `deadline` in seconds is each server's own. Raises CountsError."""
    asked = [one for one in (settings.primary, settings.target) if not one.lost]
    return shape(settings, ask_facts(settings, asked, deadline))


def shape(settings: Settings, said: Mapping[str, Said]) -> Shape:
    """The same, from the answers. DB_A need not be there yet; its machine is then not known. Pure. Raises CountsError."""
    primary, target = said.get(settings.primary.name), said.get(settings.target.name)
    if primary is None:
        raise CountsError(f"{settings.primary.name} is lost, so nothing can be counted on it")
    missing = [f"{name} ({primary.unseen(name)})" for name in COUNTS if not isinstance(primary.fact(name), int)]
    if missing:
        raise CountsError(
            f"Expected: {', '.join(COUNTS)} of {settings.primary.name}. Found: no {', no '.join(missing)}\n"
            "To do: python -m scripts.preflight says what is in the way"
        )
    databases, relations, most, objects, size = (int(primary.fact(name)) for name in COUNTS)
    machine = {name: target.fact(name) if target is not None else None for name in ("cores", "memoryBytes")}
    return Shape(
        old=settings.versions.old,
        new=settings.versions.new,
        transfer_mode=settings.postgres.transfer_mode,
        jobs=settings.postgres.jobs,
        databases=databases,
        relations=relations,
        most_relations=most,
        large_objects=objects,
        bytes=size,
        servers=sum(not one.lost and one.role not in ASKED_TOGETHER for one in settings.servers.values()),
        online=len(settings.with_role(Role.ONLINE)),
        cores=int(machine["cores"] or 0),
        memory_bytes=int(machine["memoryBytes"] or 0),
        trial_seconds=float((target.fact("trialSeconds") if target is not None else None) or 0),
    )
