"""HostsFile: where the database names in a server's /etc/hosts lead. HostsFiles: the same for servers that are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pulumi

from agent.states import Verb
from components.part import PartArgs, ServerPart
from components.step import LocalStep, Reach


class HostsFileArgs(PartArgs):
    """`desired`: hosts, names (name -> address), and reload if the server has one."""


class HostsFile(ServerPart):
    """Moves new connections of one server; its sessions elsewhere are OldReplicaSessions' work."""

    verb: ClassVar[Verb] = Verb.HOSTS_FILE


@dataclass(frozen=True)
class HostsFilesArgs:
    """`desired`: ssh, hosts, names, and servers (name -> address, host key, and reload if it has one); and the steps that come before."""

    reach: Reach
    desired: Mapping[str, Any]
    after: Sequence[pulumi.Resource] = ()


class HostsFiles(pulumi.ComponentResource):
    """Moves new connections of many servers in one step, told from the operator's machine, which brings them the agent as well.

    A step of each server's own costs the engine and the program 0.2 s of a processor (two cores, measured: 40 s for 200 servers), for
    what ssh does in 0.1 s; these are servers for which nothing else of the program waits one by one.
    """

    module: ClassVar[str] = "scripts.hosts_files"
    step: LocalStep

    def __init__(self, name: str, args: HostsFilesArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("pgleap:fleet:HostsFiles", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        self.step = LocalStep(name, self.module, args.desired, args.reach, after=args.after, opts=own)
        self.register_outputs({})
