"""What every server really is, against the phase of the stack: `python -m scripts.status [--json]`. It only reads.

Exit status: 0 all is as the phase has it, 1 there is drift (a server that cannot be reached is some), 2 there is no stack to
hold anything against. Raising the round repairs drift: pulumi config set round <one higher> && pulumi up
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from agent.states import Verb
from components.desired import Desire
from components.settings import Role, Server, Settings
from scripts import fleet_ssh, stack, status_table
from scripts.drift import Seen, drifts
from scripts.fleet_ssh import Answer
from scripts.way_back import WayBack, way_back

COMMAND = fleet_ssh.agent_command(Verb.OBSERVE)


@dataclass(frozen=True)
class Report:
    """Every server by name, as it was found, and how that differs from the settings' phase."""

    settings: Settings
    servers: Mapping[str, Seen]
    drift: list[str]
    way_back: WayBack

    def to_json(self, finished: Mapping[str, Any]) -> dict[str, Any]:
        """For programs; `finished` is what the stack says of its last whole `up`."""
        servers = {}
        for name, seen in self.servers.items():
            server = self.settings.servers[name]
            told = {"facts": seen.facts} if seen.facts is not None else {"why": seen.why}
            servers[name] = {"role": server.role.value, "address": server.address, **told}
        return {
            "phase": self.settings.phase.value,
            "round": self.settings.round,
            "finished": dict(finished),
            "drift": self.drift,
            "wayBack": self.way_back.to_json(),
            "servers": servers,
        }


def collect(settings: Settings, deadline: float = fleet_ssh.DEADLINE) -> Report:
    """Look at all servers at once. `deadline` in seconds is each server's own."""
    desire = Desire(settings)
    asked = {server.name: json.dumps(to_look_at(desire, server)) for server in looked_at(desire)}
    answers = fleet_ssh.ask(settings, COMMAND, asked, deadline)
    seen = {name: read_answer(answer) for name, answer in answers.items()}
    return Report(settings, seen, drifts(desire, seen), way_back(settings, seen))


def looked_at(desire: Desire) -> list[Server]:
    """Every server but the new replicas where the phase has none: they need not even exist. Pure."""
    there = desire.parts.new_replicas
    return [one for one in desire.settings.servers.values() if there or one.role is not Role.NEW_REPLICA]


def to_look_at(desire: Desire, server: Server) -> dict[str, Any]:
    """The desired state of `observe`: what is of interest on this server. Pure."""
    asked: dict[str, Any] = {"server": server.name, "address": server.address, "round": desire.settings.round}
    if server.role is Role.PRIMARY:
        return {**asked, "clusters": [desire.old_postgres()], **desire.stream_to_look_at("old primary")}
    if server.role is Role.REPLICA:
        return {**asked, "clusters": [desire.old_postgres()]}
    if server.role is Role.TARGET:
        clusters = [desire.old_postgres(), desire.new_postgres()]
        return {**asked, "clusters": clusters, **desire.stream_to_look_at("DB_A")}
    if server.role is Role.NEW_REPLICA:
        return {**asked, "clusters": [desire.new_postgres()]}
    return {**asked, "names": list(desire.settings.names), "tasks": list(server.tasks)}


def read_answer(answer: Answer) -> Seen:
    """The facts in a server's answer, or why there are none. Pure."""
    if answer.status is None:
        return Seen(None, f"not reached: {answer.error}")
    if answer.status == fleet_ssh.NOT_INSTALLED:
        return Seen(None, "pgleap is not on this server yet")
    said = answer.error.strip().splitlines()
    if "is not a valid Verb" in answer.error:
        return Seen(None, "the agent there is older than this checkout: `pulumi up` brings it up to date")
    if answer.status != 0:
        return Seen(None, f"the agent ended with {answer.status}: {said[-1] if said else 'without a word'}")
    try:
        return Seen(dict(json.loads(answer.output)))
    except ValueError:
        return Seen(None, f"its answer cannot be understood: {answer.output[:200]!r}")


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Everything that was found, for programs.")] = False,
    name: Annotated[str | None, typer.Option("--stack", help="Another stack than the selected one.")] = None,
    deadline: Annotated[
        float, typer.Option(min=1, help="Seconds that each server has to answer.")
    ] = fleet_ssh.DEADLINE,
) -> None:
    """Show what every server really is, and how that differs from the stack's phase. Changes nothing."""
    selected = stack.window_or_exit(name)
    report = collect(selected.settings, deadline)
    if as_json:
        print(json.dumps(report.to_json(selected.finished), indent=2))
    else:
        status_table.show(report.settings, report.servers, report.drift, report.way_back, selected.finished)
    raise typer.Exit(1 if report.drift else 0)


if __name__ == "__main__":
    typer.run(main)
