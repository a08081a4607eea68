"""Whether there is a way back that loses nothing, from what the servers were found to be. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.states import Phase
from components.settings import Settings
from scripts.drift import Facts, Seen, known


class Kind(StrEnum):
    """The answer in short."""

    YES = "yes"
    YES_BUT = "yes, but for these"
    NO = "no, because"


@dataclass(frozen=True)
class WayBack:
    """The answer, its reasons or exceptions, and how far the stream is, each in a sentence. `after_cutover`: it is about what will
    be, for DB_A has not taken writes."""

    kind: Kind
    sentences: list[str] = field(default_factory=list)
    stream: list[str] = field(default_factory=list)
    after_cutover: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "lossless": self.kind.value,
            "because": self.sentences,
            "stream": self.stream,
            "afterCutover": self.after_cutover,
        }


def way_back(settings: Settings, seen: Mapping[str, Seen]) -> WayBack:
    """The answer for the fleet as it is."""
    if not settings.reverse_replication.enabled:
        return WayBack(Kind.NO, ["the stack wants no stream back (reverseReplication.enabled)"], after_cutover=True)
    primary, target = _stream(seen, settings.primary.name), _stream(seen, settings.target.name)
    if settings.phase is Phase.RETIRE:
        return WayBack(Kind.NO, [f"{settings.phase} is the end: the old servers are stopped, and nothing leads back"])
    opened = settings.phase in (Phase.CUTOVER, Phase.REPLICAS) or bool(known(primary).get("follows"))
    if not opened:
        ahead = known(known(primary).get("ahead"))
        return _of(ahead.get("against", []), ahead.get("notCovered", []), [], after_cutover=True)
    unseen = [
        f"{name} does not say how the stream is: {why}"
        for name, found in ((settings.primary.name, primary), (settings.target.name, target))
        if (why := _why_unseen(found, seen[name]))
    ]
    follows = known(primary).get("follows", {})
    against = [*unseen, *known(primary).get("against", []), *known(target).get("changes", [])]
    if not follows and not unseen:
        against.append(f"{settings.primary.name} does not follow {settings.target.name}")
    return _of(against, known(target).get("notCovered", []), _progress(known(primary)))


def _of(against: list[str], not_covered: list[str], stream: list[str], after_cutover: bool = False) -> WayBack:
    kind = Kind.NO if against else Kind.YES_BUT if not_covered else Kind.YES
    return WayBack(kind, against or not_covered, stream, after_cutover)


def _progress(primary: Facts) -> list[str]:
    lines = []
    for database, one in primary.get("follows", {}).items():
        room = "no limit" if one["headroomBytes"] is None else f"{one['headroomBytes']} bytes"
        state = "" if one["works"] else ", STANDS STILL"
        lines.append(f"{database}: {one['behindBytes']} bytes behind, room for {room} of WAL{state}")
    if "behindSeconds" in primary:
        lines.append(f"{primary['behindSeconds']} s behind; sequences copied {primary['copiedSecondsAgo']} s ago")
    return lines


def _stream(seen: Mapping[str, Seen], name: str) -> Any:
    facts = seen[name].facts
    return facts.get("stream", {}) if facts is not None else {"not seen": seen[name].why}


def _why_unseen(found: Any, seen: Seen) -> str:
    if isinstance(found, Mapping) and "not seen" in found:
        return str(found["not seen"])
    return "" if seen.facts is not None else seen.why
