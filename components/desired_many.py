"""The desired states of the steps that ask many servers at once (components/part.py, ManyServersPart). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.states import Verb
from components.desired import Desire, Desired
from components.phases import Lead
from components.settings import Server


def hosts_files(desire: Desire, servers: Sequence[Server], lead: Lead) -> Desired:
    """Where the names of all these servers lead."""
    return _of_agents(desire, Verb.HOSTS_FILE, desire.hosts(lead), servers, desire.reload)


def offline_tasks(desire: Desire, workers: Sequence[Server]) -> Desired:
    """Which units of each worker run."""
    return _of_agents(desire, Verb.OFFLINE_TASKS, {}, workers, desire.tasks)


def load_balancer(desire: Desire) -> Desired:
    """For all of `settings.balanced`, of which there must be one."""
    servers = desire.settings.balanced
    return {
        **desire.membership(),
        "servers": {server.name: {"address": server.address, **desire.balanced(server)} for server in servers},
    }


def _of_agents(
    desire: Desire, verb: Verb, shared: Desired, servers: Sequence[Server], own: Callable[[Server], Desired]
) -> Desired:
    """How servers are reached stands there too, in the open: no connection of the engine's leads there."""
    return {
        "verb": verb.value,
        **shared,
        "servers": {server.name: {**_host(server), **own(server)} for server in servers},
        "ssh": desire.settings.ssh.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def _host(server: Server) -> Desired:
    return {"address": server.address, **({"hostKey": server.host_key} if server.host_key else {})}
