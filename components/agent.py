"""Agent: the agent's program on a server, delivered to a path named after its content and installed at a stable one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from agent.states import Verb
from components.agent_program import AgentProgram
from components.settings import Server
from components.step import Delivery, Reach, Step


@dataclass(frozen=True)
class AgentArgs:
    """One server, the packed program, and the steps that come before; `instance` is the EC2 instance's id, if the program makes it."""

    server: Server
    reach: Reach
    program: AgentProgram
    after: Sequence[pulumi.Resource] = ()
    instance: pulumi.Output[str] | None = None


class Agent(pulumi.ComponentResource):
    """A new agent, address, host key or instance replaces this file only: the steps that call it are not run again. A raised round does not."""

    installed: Step

    def __init__(self, name: str, args: AgentArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("pgleap:fleet:Agent", name, None, opts)
        after = list(args.after)
        own = pulumi.ResourceOptions(parent=self)
        delivery = Delivery(
            f"{name}-file", args.server, args.program, args.reach, instance=args.instance, after=after, opts=own
        )
        self.installed = Step(
            name,
            args.server,
            Verb.REHEARSAL_INSTALL if args.program.rehearsal else Verb.INSTALL,
            {"sha256": args.program.sha256, **({} if args.instance is None else {"instance": args.instance})},
            args.reach,
            program=args.program.delivered,
            every_round=False,
            delete=Verb.REHEARSAL_END if args.program.rehearsal else None,
            after=[*after, delivery],
            opts=own,
        )
        self.register_outputs({"sha256": args.program.sha256})
