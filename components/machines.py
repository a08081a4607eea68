"""Machines: the instances of the fleet that the program makes on EC2, and what waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pulumi

from components import instances
from components.fleet_args import FleetArgs, Steps
from components.settings import Server
from components.step import FirstContact

if TYPE_CHECKING:
    from pulumi_aws import Provider

    from components.server import DatabaseServer


# A requirement of its own: where it is installed, the engine asks for AWS's plug-in at every preview and `up`.
SDK = "pulumi_aws"
INSTALL = ".venv/bin/pip install --require-hashes -r requirements/aws.txt && pulumi preview"


class Machines:
    """They are made in two goes: those that steps may need, and after all steps the others."""

    def __init__(self, args: FleetArgs, own: pulumi.ResourceOptions) -> None:
        self._args = args
        self._own = own
        self._provider: Provider | None = None
        self._made: dict[str, DatabaseServer] = {}

    def make(self, servers: Sequence[Server], after: Steps = ()) -> None:
        """Make the instances of these servers."""
        settings = self._args.settings
        if not servers or settings.aws is None:
            return
        # See server.py on what this import costs.
        try:
            from components.aws_provider import aws_provider  # noqa: PLC0415
            from components.server import DatabaseServer, ServerArgs  # noqa: PLC0415
        except ModuleNotFoundError as missing:
            if not str(missing.name).startswith(SDK):
                raise
            raise pulumi.RunError(
                f"Expected: AWS's SDK for Pulumi, for {', '.join(server.name for server in servers)} (`instance` in pgleap:servers). "
                f"Found: none beside this program.\nTo do: {INSTALL}"
            ) from None

        self._provider = self._provider or aws_provider(settings.aws, self._args.reach, self._own)
        keys = self._args.secrets.host_private_keys
        for server in servers:
            args = ServerArgs(server, settings, keys[server.name], self._provider, self._args.reach, after)
            self._made[server.name] = DatabaseServer(server.name, args, self._own)

    def of(self, server: Server) -> tuple[pulumi.Output[str] | None, list[pulumi.Resource]]:
        """The id of the server's instance, None if the program does not make it, and what its agent waits for on its account.

        Where the instance cannot be new the id comes from the stack's own outputs, and nothing waits for AWS.
        """
        name = server.name
        if name not in self._made:
            return None, []
        if not instances.may_be_new(server, self._args.settings.phase):
            return self._args.instances_before.apply(lambda ids: ids.get(name, "")), []
        booted = self._made[name].booted
        return self._made[name].instance_id, [booted] if booted else []

    @property
    def booted(self) -> list[FirstContact]:
        """The first contacts, each after its instance's first boot."""
        return [machine.booted for machine in self._made.values() if machine.booted]

    @property
    def ids(self) -> dict[str, pulumi.Output[str]]:
        """The instances' ids, by the server's name."""
        return {name: machine.instance_id for name, machine in self._made.items()}
