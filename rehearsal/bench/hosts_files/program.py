"""The stack's program for the bench: the agent and a HostsFile on every host, of the product's own components and nothing else.

It is linked into a project folder as __main__.py, where the engine and scripts.window run it as they do the product's. As there, every
step waits for what the stack's own outputs say; whether the move is one is not asked, for the bench goes to and fro.
"""

from __future__ import annotations

import pulumi

from components import registrations
from components.agent import Agent, AgentArgs
from components.agent_program import agent_program
from components.desired import Desire
from components.hosts_file import HostsFile, HostsFileArgs
from components.stack_config import load
from components.step import Reach

settings = load().settings
itself = pulumi.StackReference(f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")
reach = Reach(
    ssh=settings.ssh,
    private_key=None,
    round=settings.round,
    allowed=itself.get_output("phase").apply(lambda _: True),
)
desire, program = Desire(settings), agent_program()
own = pulumi.ResourceOptions()
for server in settings.online:
    agent = Agent(f"{server.name}-agent", AgentArgs(server, reach, program), own)
    wanted = desire.hosts_file(server, desire.parts.online_hosts)
    HostsFile(f"{server.name}-hosts-file", HostsFileArgs(server, reach, wanted, [agent.installed]), own)
pulumi.export("phase", settings.phase.value)
pulumi.export("round", settings.round)
registrations.begin()
