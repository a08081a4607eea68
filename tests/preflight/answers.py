"""Answers of a whole fleet, as scripts.preflight reads them; a test spoils one thing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from components.settings import Role, Settings
from scripts.fleet_ssh import Answer
from scripts.preflight.ask import read
from scripts.preflight.balancing import Balancing
from scripts.preflight.outcome import Fleet, Said
from scripts.preflight.report import Report, Row, report
from tests.unit.example_config import config

BEGAN = 1_700_000_000.0
DATABASE = {
    "version": "15.4", "binaries": {"15": "15.4", "17": "17.4"}, "systemIdentifier": "7300000000000000001", "glibc": "glibc 2.36", "icu": {"15": "72"}, "dataBytes": 10_000_000_000,
    "freeBytes": 90_000_000_000, "freeInodes": 5_000_000, "memoryBytes": 16_000_000_000, "maxConnections": 100,
    "reservedConnections": 3, "clientSessions": {"10.77.0.21": 10, "10.77.0.23": 5}, "sortedByCLibrary": 40,
}  # fmt: skip
CHECK = {"name": "locks", "severity": "refuse", "why": "it waits", "do": "end it"}


def facts(role: Role) -> dict[str, Any]:
    seen: dict[str, Any] = {"clock": BEGAN + 1}
    if role in (Role.PRIMARY, Role.REPLICA):
        seen.update(DATABASE)
    elif role in (Role.TARGET, Role.NEW_REPLICA):
        nothing = {"unseen": "PostgreSQL 15 running on this server: it is not"}
        seen.update(
            {
                **dict.fromkeys(DATABASE, nothing),
                **{key: DATABASE[key] for key in ("binaries", "glibc", "icu", "freeBytes", "freeInodes")},
            }
        )
    return seen


def told(found: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """One check's result, as the agent prints it."""
    return {**CHECK, "found": found or [], **more}


def answer(checks: list[dict[str, Any]], seen: Mapping[str, Any], clock: float = BEGAN + 1.9) -> Answer:
    lines = (json.dumps({"checks": checks, "seen": seen}), json.dumps({"clock": clock, "took": 1.8}))
    return Answer(0, "\n".join(lines) + "\n", "progress\n", BEGAN, BEGAN + 2)


class FakeFleet:
    """Every server answers, and all is well."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings.from_config({**config(), **settings})
        self.answers = {name: answer([told()], facts(one.role)) for name, one in self.settings.servers.items()}
        self.bastion: Answer | None = Answer(0, "Port 22\nMaxStartups 100:30:200\npgleap-files 1024\n", "")
        self.balancing: Balancing | None = Balancing()
        self.made = True

    def say(
        self, server: str, checks: list[dict[str, Any]] | None = None, clock: float = BEGAN + 1.9, **seen: Any
    ) -> None:
        known = facts(self.settings.servers[server].role)
        self.answers[server] = answer([told()] if checks is None else checks, {**known, **seen}, clock)

    @property
    def said(self) -> dict[str, Said]:
        return {name: read(one) for name, one in self.answers.items()}

    def report(self) -> Report:
        return report(Fleet(self.settings, self.said, self.made, self.bastion, self.balancing), 1.0)

    def row(self, name: str) -> Row:
        (found,) = (row for row in self.report().rows if row.name.value == name)
        return found
