"""HostsFile: where the database names in a server's /etc/hosts lead. HostsFiles: the same for servers that are many."""

from __future__ import annotations

from typing import ClassVar

from agent.states import Verb
from components.part import ManyArgs, ManyServersPart, PartArgs, ServerPart


class HostsFileArgs(PartArgs):
    """`desired`: hosts, names (name -> address), and reload if the server has one."""


class HostsFile(ServerPart):
    """Moves new connections of one server; its sessions elsewhere are OldReplicaSessions' work."""

    verb: ClassVar[Verb] = Verb.HOSTS_FILE


class HostsFilesArgs(ManyArgs):
    """`desired`: hosts and names for all of them; each one's own reload, if it has one."""


class HostsFiles(ManyServersPart):
    """Moves new connections of many servers."""
