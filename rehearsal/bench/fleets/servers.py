"""Simulated servers behind the stand-in for the command provider: each answers a step after a fixed time, and what was asked is kept."""
# ruff: noqa: ARG002 -- a Transport is told more than these servers want to know

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rehearsal.plugins.local import Here
from rehearsal.plugins.transport import Connection, Listener, LocalRun, Result
from scripts.fleet_ssh import AT_ONCE

ON_SERVERS = "scripts.on_servers"
ANSWER_SECONDS = 0.1
"""About what a round over SSH takes with the start of the agent."""


class Servers(Here):
    """A Transport. `ran` counts the steps that were told, as `step` names them; the agent's delivery counts as one, and so does the step that
    tells many servers at once, which answer so many at a time."""

    def __init__(self, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.ran: Counter[str] = Counter()
        self.answer_seconds = answer_seconds

    def accepts(self, variable: str) -> bool:
        return False

    async def copy(self, connection: Connection, source: bytes | str, remote_path: str, listener: Listener) -> None:
        await asyncio.sleep(self.answer_seconds)
        self.ran[f"copy to {connection.host}"] += 1

    async def run(
        self, connection: Connection, command: str, stdin: str, environment: Mapping[str, str], listener: Listener
    ) -> Result:
        await asyncio.sleep(self.answer_seconds)
        verb, desired = command.rpartition(" ")[2], json.loads(stdin)
        self.ran[step(verb, desired)] += 1
        listener.stdout(json.dumps(_facts(verb, desired)).encode() + b"\n")
        return Result(0)

    async def run_here(self, run: LocalRun, listener: Listener) -> str:
        module = run.command.rpartition(" ")[2]
        if module != ON_SERVERS:
            return await super().run_here(run, listener)
        desired = json.loads(run.stdin)
        await asyncio.sleep(self.answer_seconds * math.ceil(len(desired["servers"]) / AT_ONCE))
        self.ran[step(module, desired)] += 1
        listener.stdout(json.dumps(_facts(module, desired)).encode() + b"\n")
        return ""


def step(verb: str, desired: Mapping[str, Any]) -> str:
    """What tells one step from all others: sessions on a replica are ended for more than one group of servers."""
    return f"{desired.get('verb', verb)} {desired.get('group', '')} on {desired.get('server', 'many')}"


def _facts(verb: str, desired: Mapping[str, Any]) -> dict[str, Any]:
    """As long as those of a real agent, with what the program reads of them."""
    kept = {key: desired[key] for key in ("phase", "round", "side") if key in desired}
    changed = [f"{verb}: done as it was asked for by a server that is simulated"]
    return {
        "server": desired.get("server", "many"),
        **kept,
        "changed": changed,
        "because": "it was not so",
        "took": 0.1,
    }
