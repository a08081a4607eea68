"""What the parts have in common: a component with one step for one server, a child of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pulumi

from agent.states import Verb
from components.agent_program import INSTALLED
from components.settings import Server
from components.step import LocalStep, Reach, Step, of_server


@dataclass(frozen=True)
class PartArgs:
    """One server, what it is asked for, and the steps that come before."""

    server: Server
    reach: Reach
    desired: Mapping[str, pulumi.Input[Any]]
    after: Sequence[pulumi.Resource] = field(default_factory=tuple)


class ServerPart(pulumi.ComponentResource):
    """A part of the fleet on one server. Subclasses name the verb; names and parents never change with the phase, for the
    engine would delete what it no longer finds. `delete` is the verb of what goes with the stack."""

    verb: ClassVar[Verb]
    delete: ClassVar[Verb | None] = None
    program: ClassVar[str] = INSTALLED
    secret: ClassVar[bool] = False
    step: Step

    def __init__(self, name: str, args: PartArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__(f"pgleap:fleet:{type(self).__name__}", name, None, opts)
        self.step = Step(
            name,
            args.server,
            self.verb,
            args.desired,
            args.reach,
            program=self.program,
            secret=self.secret,
            delete=self.delete,
            after=args.after,
            opts=pulumi.ResourceOptions(parent=self),
        )
        # No outputs: the step has its facts, and here they would be one more write of the whole state for each step.
        self.register_outputs({})


class LocalPart(pulumi.ComponentResource):
    """A part of the fleet that is told from the operator's machine. Subclasses name the module of scripts/ that is run."""

    module: ClassVar[str]
    step: LocalStep

    def __init__(self, name: str, args: PartArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__(f"pgleap:fleet:{type(self).__name__}", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        desired = of_server(args.server, args.desired)
        self.step = LocalStep(name, self.module, desired, args.reach, after=args.after, opts=own)
        self.register_outputs({})


@dataclass(frozen=True)
class ManyArgs:
    """What many servers are asked for (`servers`: name -> what is each one's own, beside what all share), and the steps that come before."""

    reach: Reach
    desired: Mapping[str, Any]
    after: Sequence[pulumi.Resource] = field(default_factory=tuple)


class ManyServersPart(pulumi.ComponentResource):
    """A part of the fleet on many servers, in one step that is run on the operator's machine. Subclasses name the module of scripts/.

    A step of each server's own, with its agent's, costs the engine and the program 0.2 s of a processor (two cores, measured: 40 s for
    200 servers). Nothing in the program waits for one of these servers by itself.
    """

    module: ClassVar[str] = "scripts.on_servers"
    step: LocalStep

    def __init__(self, name: str, args: ManyArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__(f"pgleap:fleet:{type(self).__name__}", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        self.step = LocalStep(name, self.module, args.desired, args.reach, after=args.after, opts=own)
        self.register_outputs({})
