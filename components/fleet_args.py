"""What the fleet's parts are declared from, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from components.agent_program import AgentProgram
from components.settings import Settings
from components.stack_config import Secrets
from components.step import LocalStep, Reach, Step

Steps = Sequence[Step | LocalStep]
Maker = Callable[[Steps], Steps]
"""How a part is declared, given the steps that it waits for; it answers with the steps to wait for."""


@dataclass(frozen=True)
class FleetArgs:
    """The settings, the stack's secrets, how servers are reached, and the packed agent. Of servers that the program makes on EC2 the
    instances' ids as the last whole `up` left them, by the server's name."""

    settings: Settings
    secrets: Secrets
    reach: Reach
    program: AgentProgram
    instances_before: pulumi.Output[Mapping[str, str]] = field(default_factory=lambda: pulumi.Output.from_input({}))
