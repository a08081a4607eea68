"""The stack's program for the bench: the hosts files of every host, by the product's own component and nothing else.

It is linked into a project folder as __main__.py, where the engine and scripts.window run it as they do the product's. As there, every
step waits for what the stack's own outputs say; whether the move is one is not asked, for the bench goes to and fro.
"""

from __future__ import annotations

import pulumi

from components import registrations
from components.desired import Desire
from components.desired_many import hosts_files
from components.hosts_file import HostsFiles, HostsFilesArgs
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
desire = Desire(settings)
# Where the online servers' names lead, for those of the others stay as they were in one of the two phases.
wanted = hosts_files(desire, settings.hosts_servers, desire.parts.online_hosts)
HostsFiles("others-hosts-files", HostsFilesArgs(reach, wanted), pulumi.ResourceOptions())
pulumi.export("phase", settings.phase.value)
pulumi.export("round", settings.round)
registrations.begin()
