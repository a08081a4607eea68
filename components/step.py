"""Step: one thing a server is told. Desired state in, facts out. The only file that imports pulumi_command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

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

    `allowed` fails if the move is refused; every step's input is made from it.
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


async def in_order(given: str, reach: Reach, after: Sequence[pulumi.Resource]) -> str:
    """`given`, once the move is allowed and the steps before stand as they were asked to; fails with them. `depends_on` alone
    is content with a step that the engine left out."""
    await reach.allowed.future()
    for step in after:
        if isinstance(step, Step):
            await step.stands
    return given


class Step(remote.Command):
    """A verb of the agent on a server, with the desired state as JSON on its standard input.

    `update` equals `create`, so a changed desired state is an update that a preview shows as a JSON diff; `delete` and
    `triggers` are never set (design.md, "A step"). A `secret` desired state is shown to nobody. A raised round runs every
    step again but one without `every_round`.
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
        secret: bool = False,
        every_round: bool = True,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions,
    ) -> None:
        state: dict[str, pulumi.Input[Any]] = {"server": server.name, "address": server.address, **desired}
        if every_round:
            state["round"] = reach.round
        asked = pulumi.Output.json_dumps(state) if secret else pulumi.Output.from_input(json.dumps(state))
        stdin: pulumi.Output[str] = asked.apply(lambda text: in_order(text, reach, after))
        command = f"{SUDO} {program} {verb.value}"
        super().__init__(
            name,
            connection=connection(server, reach),
            create=command,
            update=command,
            stdin=stdin,
            logging=remote.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(after))),
        )
        self.stands: Awaitable[None] = asyncio.ensure_future(self._verify(asked))

    @property
    def facts(self) -> pulumi.Output[dict[str, Any]]:
        """What the agent found and did; unknown in a preview in which the step would run."""
        return self.stdout.apply(lambda text: dict(json.loads(text)) if text else self._refuse_to_go_on())

    async def _verify(self, asked: pulumi.Output[str]) -> None:
        """Told to leave a step out (`--target`, `--exclude`), the engine answers with the state before: nothing may follow then."""
        if await self.stdin.future() != await asked.future():
            self._refuse_to_go_on()

    def _refuse_to_go_on(self) -> NoReturn:
        raise pulumi.RunError(
            f"Expected: every step in its order. Found: {self._name} was left out or failed, and what comes after it must not run.\n"
            "To do: pulumi up, without --target, --exclude or --continue-on-error"
        )


class Delivery(remote.CopyToRemote):
    """The agent's file in the home of the SSH user. A connection that changes alone copies nothing, hence the triggers.

    The round is none of them: on a way back two more logins before the old primary opens cost 0.7 s of refused writes (docs/faults.md).
    """

    def __init__(
        self,
        name: str,
        server: Server,
        program: AgentProgram,
        reach: Reach,
        *,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions,
    ) -> None:
        path = pulumi.Output.from_input(program.delivered)
        remote_path: pulumi.Output[str] = path.apply(lambda text: in_order(text, reach, after))
        super().__init__(
            name,
            connection=connection(server, reach),
            source=pulumi.FileAsset(str(program.file)),
            remote_path=remote_path,
            triggers=[server.address, server.host_key],
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(after))),
        )
