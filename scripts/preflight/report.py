"""All checks and what became of them, one row each: what the servers found and what only shows beside others. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.check_names import CheckName
from components.settings import Settings
from scripts.preflight import fleet
from scripts.preflight.ask import is_excused
from scripts.preflight.outcome import Fleet, FleetCheck, Outcome, Severity


class Status(StrEnum):
    """What a row says, the worst first."""

    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"
    ACCEPTED = "accepted"
    NOT_CHECKED = "not checked"
    OK = "ok"


@dataclass
class Row:
    """One check. `found` and `unseen` are by server; `accepted` is the reason that the stack's config gives."""

    name: CheckName
    severity: str = ""
    why: str = ""
    do: str = ""
    outcome: Outcome = field(default_factory=Outcome)
    accepted: str | None = None

    @property
    def status(self) -> Status:
        if self.outcome.found:
            if self.accepted is not None:
                return Status.ACCEPTED
            return Status(self.outcome.mildest or self.severity)
        return Status.OK if self.outcome.looked else Status.NOT_CHECKED

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name.value,
            "status": self.status.value,
            "severity": self.severity,
            "why": self.why,
            "do": self.do,
            "found": self.outcome.found,
            "checkedOn": self.outcome.looked,
            "notChecked": self.outcome.unseen,
            **({"accepted": self.accepted} if self.accepted is not None else {}),
        }


@dataclass(frozen=True)
class Report:
    """Every check, in the order of the names; servers of which nothing is known, and why; how long it took."""

    settings: Settings
    rows: list[Row]
    silent: Mapping[str, str]
    seen: Mapping[str, Mapping[str, Any]]
    seconds: float

    @property
    def exit_status(self) -> int:
        return int(any(row.status is Status.REFUSE for row in self.rows))

    def with_status(self, *statuses: Status) -> list[Row]:
        """The worst first, otherwise in their order."""
        return [row for status in statuses for row in self.rows if row.status is status]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        servers = {
            name: {"role": server.role.value, "address": server.address}
            | ({"why": self.silent[name]} if name in self.silent else {"seen": self.seen.get(name, {})})
            for name, server in self.settings.servers.items()
        }
        return {
            "phase": self.settings.phase.value,
            "round": self.settings.round,
            "refuses": bool(self.exit_status),
            "seconds": round(self.seconds, 1),
            "checks": [row.to_json() for row in self.rows],
            "servers": servers,
        }


def report(of: Fleet, seconds: float) -> Report:
    """Every name of CheckName has its row: a check that nobody made is said to be none."""
    rows = {name: Row(name, accepted=of.settings.preflight.accept.get(name)) for name in CheckName}
    for check in fleet.ALL:
        row = rows[check.name]
        row.severity, row.why, row.do, row.outcome = check.severity.value, check.why, check.do, _looked(check, of)
    for server, said in of.said.items():
        for told in said.checks:
            _add(rows[CheckName(told["name"])], server, told)
    lost = {name: "lost" for name, server in of.settings.servers.items() if server.lost}
    silent = {name: _why(of, name, said.why) for name, said in of.said.items() if said.why}
    seen = {name: said.seen for name, said in of.said.items()}
    return Report(of.settings, list(rows.values()), {**lost, **silent}, seen, seconds)


def _looked(check: FleetCheck, of: Fleet) -> Outcome:
    """One check over all servers. Whatever a server told that it does not expect, the other checks are made."""
    try:
        return check.look(of)
    except Exception as wrong:  # as above
        return Outcome(unseen=dict.fromkeys(of.said, f"could not be looked at: {type(wrong).__name__}: {wrong}"))


def _add(row: Row, server: str, told: Mapping[str, Any]) -> None:
    """What one server says of one check. The worst that finds something says why it matters, and what to do."""
    severity = Severity(told["severity"])
    worse = list(Severity).index(severity) < list(Severity).index(Severity(row.severity or Severity.NOTE))
    if not row.severity or (told["found"] and (worse or not row.outcome.found)):
        row.severity, row.why, row.do = severity.value, told["why"], told["do"]
    if told.get("unseen") is not None:
        row.outcome.unseen[server] = told["unseen"]
        return
    row.outcome.fine(server)
    for sentence in told["found"]:
        row.outcome.finds(server, sentence)


def _why(of: Fleet, name: str, why: str) -> str:
    excuse = is_excused(of.settings, of.settings.servers[name], made=of.made)
    return f"{why}; {excuse}" if excuse and not of.said[name].reached else why
