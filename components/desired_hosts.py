"""The desired state of the step that tells many servers at once (components/hosts_file.py, HostsFiles). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from components.desired import Desire, Desired
from components.phases import Lead
from components.settings import Server


def hosts_files(desire: Desire, servers: Sequence[Server], lead: Lead) -> Desired:
    """What all of them are asked for, which servers they are, and how they are reached: no connection of the engine's leads there."""
    ssh = desire.settings.ssh.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**desire.hosts(lead), "servers": {server.name: _host(server) for server in servers}, "ssh": ssh}


def _host(server: Server) -> dict[str, str]:
    own = {"address": server.address, "hostKey": server.host_key, "reload": server.reload}
    return {key: value for key, value in own.items() if value is not None}
