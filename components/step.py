"""Step: one thing a server is told. Desired state in, facts out. The only file that imports pulumi_command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_command import remote

from agent.states import Verb
from components.agent_program import AgentProgram
from components.settings import Server, Ssh

INSTALLED = "/usr/local/lib/pgleap/agent.pyz"
SUDO = "sudo -n /usr/bin/env python3 -I"
# One error is allowed, so two tries of five seconds each: a server that is off must not hold the others up for longer (design.md, "A step").
DIAL_ERROR_LIMIT = 1
PER_DIAL_SECONDS = 5


@dataclass(frozen=True)
class Reach:
    """What every step of a run shares: how servers are reached, the round, and the move's permission to begin.

    `allowed` fails if the move is refused; the first steps' inputs are made from it, and all others wait for those.
    """

    ssh: Ssh
    private_key: str | None
    round: int
    allowed: pulumi.Output[Any]


def connection(server: Server, reach: Reach) -> remote.ConnectionArgs:
    """How to reach a server: host key verified, by the SSH agent or the one key file, through the bastion if there is one."""
    ssh, bastion = reach.ssh, reach.ssh.bastion
    proxy = None
    if bastion is not None:
        proxy = remote.ProxyConnectionArgs(
            host=bastion.address,
            user=ssh.bastion_user,
            port=bastion.port,
            host_key=bastion.host_key,
            private_key=reach.private_key,
            dial_error_limit=DIAL_ERROR_LIMIT,
            per_dial_timeout=PER_DIAL_SECONDS,
        )
    return remote.ConnectionArgs(
        host=server.address,
        user=ssh.user,
        port=ssh.port,
        host_key=server.host_key,
        private_key=reach.private_key,
        proxy=proxy,
        dial_error_limit=DIAL_ERROR_LIMIT,
        per_dial_timeout=PER_DIAL_SECONDS,
    )


class Step(remote.Command):
    """A verb of the agent on a server, with the desired state as JSON on its standard input.

    `update` equals `create`, so a changed desired state is an update that a preview shows as a JSON diff; `delete` and
    `triggers` are never set (design.md, "A step"). A `secret` desired state is shown to nobody.
    """

    def __init__(
        self,
        name: str,
        server: Server,
        verb: Verb,
        desired: Mapping[str, pulumi.Input[Any]],
        reach: Reach,
        *,
        program: str = INSTALLED,
        first: bool = False,
        secret: bool = False,
        opts: pulumi.ResourceOptions,
    ) -> None:
        state = {"server": server.name, "address": server.address, "round": reach.round, **desired}
        stdin: pulumi.Input[str] = pulumi.Output.json_dumps(state) if secret else json.dumps(state)
        if first:
            stdin = reach.allowed.apply(lambda _: json.dumps(state))
        command = f"{SUDO} {program} {verb.value}"
        super().__init__(
            name,
            connection=connection(server, reach),
            create=command,
            update=command,
            stdin=stdin,
            logging=remote.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=opts,
        )

    @property
    def facts(self) -> pulumi.Output[dict[str, Any]]:
        """What the agent found and did; unknown in a preview in which the step would run."""
        return self.stdout.apply(lambda text: dict(json.loads(text)))


class Delivery(remote.CopyToRemote):
    """The agent's file in the home of the SSH user. A connection that changes alone copies nothing, hence the triggers."""

    def __init__(
        self, name: str, server: Server, program: AgentProgram, reach: Reach, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__(
            name,
            connection=connection(server, reach),
            source=pulumi.FileAsset(str(program.file)),
            remote_path=reach.allowed.apply(lambda _: program.delivered),
            triggers=[server.address, server.host_key, reach.round],
            opts=opts,
        )
