"""Rehearsal: DB_A made from the real primary, upgraded in earnest, and thrown away with the stack.

Two servers are told something, by a program of their own that knows the rehearsal's verbs and no other (agent/__main__.py). What was
made goes by `delete`, which here may rest on the engine: the steps' own order, backwards, is the order in which it has to go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pulumi

from agent.states import Verb
from components.agent import Agent, AgentArgs
from components.agent_program import INSTALLED_FOR_REHEARSAL
from components.desired import Desire
from components.fleet_args import FleetArgs
from components.machines import Machines
from components.part import PartArgs, ServerPart
from components.settings import Server
from components.step import Step


class RehearsalPart(ServerPart):
    """A part of a rehearsal. Its verb is one of the rehearsal's own."""

    program: ClassVar[str] = INSTALLED_FOR_REHEARSAL


class RehearsalBegin(RehearsalPart):
    """Refuses what would hurt the primary or a window. It stands before anything is made, so what was made goes with it."""

    verb: ClassVar[Verb] = Verb.REHEARSAL_BEGIN
    delete: ClassVar[Verb | None] = Verb.REHEARSAL_END


class RehearsalCredentials(RehearsalPart):
    """The rehearsal's role. A step of its own, so that the secret does not hide a whole desired state from the preview."""

    verb: ClassVar[Verb] = Verb.REHEARSAL_CREDENTIALS
    secret: ClassVar[bool] = True


class RehearsalTarget(RehearsalPart):
    """The long part: base backup in prepare, pg_upgrade and statistics in upgrade."""

    verb: ClassVar[Verb] = Verb.REHEARSAL_TARGET


class Rehearsal(pulumi.ComponentResource):
    """A rehearsal in its phase. `finished` and `instances` are as the fleet's; `measured` is what it took, {seconds, counts}."""

    finished: pulumi.Output[dict[str, Any]]
    measured: pulumi.Output[dict[str, Any]]
    instances: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pgleap:fleet:Rehearsal", name, None, opts)
        self._args = args
        self._own = pulumi.ResourceOptions(parent=self)
        self._machines = Machines(args, self._own)
        settings, desire = args.settings, Desire(args.settings)
        primary, target = settings.primary, settings.target
        self._machines.make([target] if target.instance else [])
        # DB_A's after the primary's: on the way out its standby has to be gone before its slot and its role can go.
        begun: list[pulumi.Resource] = []
        for server, side in ((primary, "old primary"), (target, "DB_A")):
            told = self._part(server, desire.rehearsal_begin(side), [*begun, self._agent(server, begun)])
            begun.append(RehearsalBegin(f"{server.name}-rehearsal-begin", told, self._own).step)
        known: list[Step] = []
        for server, side in ((primary, "old primary"), (target, "DB_A")):
            secret = {**desire.rehearsal_credentials(side), "password": args.secrets.password}
            told = self._part(server, secret, begun)
            known.append(RehearsalCredentials(f"{server.name}-rehearsal-credentials", told, self._own).step)
        told = self._part(target, desire.upgrade_target(), known)
        made = RehearsalTarget(f"{target.name}-rehearsal-database", told, self._own).step
        self.finished = made.facts.apply(lambda facts: {key: facts[key] for key in ("phase", "round")})
        self.measured = made.facts.apply(lambda facts: dict(facts.get("measured", {})))
        self.instances = self._machines.ids
        self.register_outputs({"finished": self.finished, "measured": self.measured})

    def _agent(self, server: Server, after: Sequence[pulumi.Resource]) -> Step:
        instance, booted = self._machines.of(server)
        args = AgentArgs(server, self._args.reach, self._args.program, [*after, *booted], instance)
        return Agent(f"{server.name}-agent", args, self._own).installed

    def _part(self, server: Server, desired: dict[str, Any], after: Sequence[pulumi.Resource]) -> PartArgs:
        return PartArgs(server, self._args.reach, desired, after)
