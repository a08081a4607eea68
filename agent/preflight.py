"""Verb `preflight`: what would hurt in the window, looked for on this server while there is time. It only reads."""

from __future__ import annotations

import contextlib
import json
from typing import Any, List, Mapping

from agent.check_names import CheckName
from agent.checks import catalogue, facts
from agent.checks.check import Result, Severity
from agent.checks.sight import Sight
from agent.report import Facts, Refusal
from agent.server import Server

# What the step `ready` runs itself, whatever was accepted: each takes seconds, and nobody can accept that pg_upgrade will refuse.
MADE_BY_READY = frozenset({CheckName.PG_UPGRADE, CheckName.SCHEMA_TRIAL})


def preflight(desired: Mapping[str, Any], server: Server) -> Facts:
    """Every check for this server's side, and `seen`: what is held against other servers by whoever asked all of them. With
    `onlySeen` no check is made: somebody waits for the facts alone. With `tellsAhead` what does not take long is printed as soon as it is
    there, too."""
    told: Facts = {}

    def ahead(results: List[Result]) -> None:
        """Everything but what takes long, for whoever does not wait that long: a line by itself, as the whole answer is."""
        told["seen"] = facts.seen(sight)
        line = {"checks": [result.to_json() for result in results], "seen": told["seen"]}
        with contextlib.suppress(OSError):
            print(json.dumps(line, sort_keys=True), flush=True)

    with Sight(desired, server) as sight:
        tell = ahead if desired.get("tellsAhead") else None
        results = [] if desired.get("onlySeen") else [result.to_json() for result in catalogue.made(sight, ahead=tell)]
        seen = told.get("seen") or facts.seen(sight)
    return {"changed": [], "because": "it only looks", "checks": results, "seen": seen}


def refuse_open(desired: Mapping[str, Any], server: Server) -> None:
    """Raises Refusal over what a check refuses and nobody accepted. `desired` also has `accepted`, the names of those accepted."""
    with Sight(desired, server) as sight:
        results = catalogue.made(sight, without=MADE_BY_READY)
    accepted = set(desired["accepted"])
    wrong = [result for result in results if refuses(result) and result.check.name.value not in accepted]
    if wrong:
        raise Refusal(
            "no check of preflight to refuse",
            "; ".join(f"{result.check.name.value}: {', '.join(_few(result.found))}" for result in wrong),
            f"{'; '.join(f'{result.check.name.value}: {result.check.do}' for result in wrong)}. Or accept it, with your reason:"
            f" pulumi config set --path 'pgleap:preflight.accept.{wrong[0].check.name.value}' '<reason>'",
        )


def refuses(result: Result) -> bool:
    return bool(result.found) and result.check.severity is Severity.REFUSE


def _few(found: List[str]) -> List[str]:
    return found if len(found) <= 5 else [*found[:5], f"and {len(found) - 5} more"]
