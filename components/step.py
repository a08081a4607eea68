"""Step: one thing a server is told, or the operator's machine is for servers. Desired state in, facts out. The only file that
imports pulumi_command."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pulumi
from pulumi.resource import DependencyResource
from pulumi_command import local, remote

from agent.states import Verb
from components.agent_program import INSTALLED, INSTALLED_FOR_REHEARSAL, SUDO, AgentProgram
from components.settings import Server, Ssh

# The virtual environment that Pulumi.yaml names, from the project's folder, where the engine starts its plugins: no path of one
# checkout stands in the state, where another checkout would find it changed. `exec`, so that ending the step ends it.
PYTHON = "exec .venv/bin/python -m"
# One error is allowed, so two tries of five seconds each: a server that is off must not hold the others up for longer (design.md, "A step").
DIAL_ERROR_LIMIT = 1
PER_DIAL_SECONDS = 5
# An instance that was made is waited for: sshd answers a minute or two after EC2 says that it runs. Before each new try pulumi-command
# 1.2 pauses, five seconds at most, so this is five minutes of refused dials, ten of mute ones.
BOOT_DIAL_ERROR_LIMIT = 60
BOOT = Path(__file__).with_name("boot.sh")


@dataclass(frozen=True)
class Reach:
    """What every step of a run shares: how servers are reached, the round, and the move's permission to begin.

    `allowed` fails if the move is refused; every step's input is made from it.
    """

    ssh: Ssh
    private_key: str | None
    round: int
    allowed: pulumi.Output[Any]


def connection(server: Server, reach: Reach, dial_error_limit: int = DIAL_ERROR_LIMIT) -> remote.ConnectionArgs:
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
        dial_error_limit=dial_error_limit,
        per_dial_timeout=PER_DIAL_SECONDS,
    )


async def in_order(given: str, reach: Reach, after: Sequence[pulumi.Resource]) -> str:
    """`given`, once the move is allowed and the steps before stand as they were asked to; fails with them. `depends_on` alone
    is content with a step that the engine left out."""
    await reach.allowed.future()
    for step in after:
        if isinstance(step, Step | LocalStep):
            await step.stands
    return given


class _Inputs(TypedDict):
    """What both kinds of step are registered with."""

    create: str
    update: str
    stdin: pulumi.Output[str]
    add_previous_output_in_env: bool


def _inputs(command: str, asked: pulumi.Output[str], reach: Reach, after: Sequence[pulumi.Resource]) -> _Inputs:
    stdin: pulumi.Output[str] = asked.apply(lambda text: in_order(text, reach, after))
    return _Inputs(create=command, update=command, stdin=stdin, add_previous_output_in_env=False)


def of_server(server: Server, desired: Mapping[str, pulumi.Input[Any]]) -> dict[str, pulumi.Input[Any]]:
    """A desired state that tells which server it is for: the whole `connection` shows as secret."""
    return {"server": server.name, "address": server.address, **desired}


def _waiting(opts: pulumi.ResourceOptions, after: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
    # Of a resource itself the SDK would look at all that it waits for in turn, in search of a circle, for each that waits for it,
    # which grows with the square of the fleet. There is no circle, for what is waited for was declared before.
    depends_on = asyncio.ensure_future(_by_urn(after)) if after else None
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=depends_on))


async def _by_urn(after: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
    """The same resources for `depends_on`, once each is registered, by nothing but their URNs."""
    return [DependencyResource(str(await resource.urn.future())) for resource in after]


async def _stand(step: Step | LocalStep, asked: pulumi.Output[str]) -> None:
    """Told to leave a step out (`--target`, `--exclude`), the engine answers with the state before: nothing may follow then."""
    if await step.stdin.future() != await asked.future():
        raise _left_out(step)


def _facts(step: Step | LocalStep, stdout: str) -> dict[str, Any]:
    if not stdout:
        raise _left_out(step)
    return dict(json.loads(stdout))


def _left_out(step: Step | LocalStep) -> pulumi.RunError:
    return pulumi.RunError(
        f"Expected: every step in its order. Found: {step._name} was left out or failed, and what comes after it must not run.\n"
        "To do: pulumi up, without --target, --exclude or --continue-on-error"
    )


class Step(remote.Command):
    """A verb of the agent on a server, with the desired state as JSON on its standard input.

    `update` equals `create`, so a changed desired state is an update that a preview shows as a JSON diff; `triggers` are never set
    (design.md, "A step"), and `delete` only in a rehearsal, which is thrown away with its stack. A `secret` desired state is shown to
    nobody. A raised round runs every step again but one without `every_round`.
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
        delete: Verb | None = None,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions,
    ) -> None:
        state = of_server(server, desired)
        if every_round:
            state["round"] = reach.round
        known = not secret and not any(isinstance(value, pulumi.Output) for value in state.values())
        asked = pulumi.Output.from_input(json.dumps(state)) if known else pulumi.Output.json_dumps(state)
        super().__init__(
            name,
            connection=connection(server, reach),
            logging=remote.Logging.STDERR,
            opts=_waiting(opts, after),
            delete=None if delete is None else f"{SUDO} {INSTALLED_FOR_REHEARSAL} {delete.value}",
            **_inputs(f"{SUDO} {program} {verb.value}", asked, reach, after),
        )
        self.stands: Awaitable[None] = asyncio.ensure_future(_stand(self, asked))

    @property
    def facts(self) -> pulumi.Output[dict[str, Any]]:
        """What the agent found and did; unknown in a preview in which the step would run."""
        return self.stdout.apply(lambda text: _facts(self, text))


class LocalStep(local.Command):
    """What is done for servers from the operator's machine: a module of scripts/ with the desired state as JSON on its standard
    input. All else is as for a Step."""

    def __init__(
        self,
        name: str,
        module: str,
        desired: Mapping[str, Any],
        reach: Reach,
        *,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions,
    ) -> None:
        asked = pulumi.Output.from_input(json.dumps({**desired, "round": reach.round}))
        super().__init__(
            name,
            logging=local.Logging.STDERR,
            opts=_waiting(opts, after),
            **_inputs(f"{PYTHON} {module}", asked, reach, after),
        )
        self.stands: Awaitable[None] = asyncio.ensure_future(_stand(self, asked))

    @property
    def facts(self) -> pulumi.Output[dict[str, Any]]:
        """What the module found and did; unknown in a preview in which the step would run."""
        return self.stdout.apply(lambda text: _facts(self, text))


class FirstContact(remote.Command):
    """Waits until an instance that was made lets the user in with the known host key and has ended its first boot, and looks at what
    that had to bring. The only step that needs no agent; it runs once for each instance, not in every round.
    """

    def __init__(
        self,
        name: str,
        server: Server,
        desired: Mapping[str, pulumi.Input[Any]],
        must_have: Sequence[str],
        reach: Reach,
        *,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions,
    ) -> None:
        command = f"sudo -n {shlex.join(['sh', '-c', BOOT.read_text(), 'boot', *must_have])}"
        super().__init__(
            name,
            connection=connection(server, reach, BOOT_DIAL_ERROR_LIMIT),
            logging=remote.Logging.STDERR,
            opts=_waiting(opts, after),
            **_inputs(command, pulumi.Output.json_dumps(of_server(server, desired)), reach, after),
        )


class Delivery(remote.CopyToRemote):
    """The agent's file in the home of the SSH user. A connection that changes alone copies nothing, hence the triggers; another
    `instance` (its id) at the same address has none.

    The round is none of them: on a way back two more logins before the old primary opens cost 0.7 s of refused writes (docs/faults.md).
    """

    def __init__(
        self,
        name: str,
        server: Server,
        program: AgentProgram,
        reach: Reach,
        *,
        instance: pulumi.Input[str] | None = None,
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
            triggers=[server.address, server.host_key, *([] if instance is None else [instance])],
            opts=_waiting(opts, after),
        )
