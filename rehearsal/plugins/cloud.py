"""What stands at the stand-in's AWS: every resource by its id; instances are machines somewhere else (the lab's, or a test's)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Protocol

from .values import Values, plain

INSTANCE = "aws:ec2/instance:Instance"
# Which id each gets; see the AWS documentation on resource ids.
PREFIXES = {
    INSTANCE: "i",
    "aws:ec2/securityGroup:SecurityGroup": "sg",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": "sgr",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "sgr",
    "aws:ebs/volume:Volume": "vol",
    "aws:ec2/volumeAttachment:VolumeAttachment": "vai",
}


class MachineError(Exception):
    """A machine cannot be started or stopped; the message says why."""


class Machines(Protocol):
    """Where instances run. Both verbs run on the plugins' event loop and must not block it."""

    async def start(self, address: str, user_data: str) -> None:
        """A new machine at this address, which does at its first boot what it is told. Raises MachineError."""

    async def stop(self, address: str) -> None:
        """The machine at this address ends, and what is on it. Raises MachineError."""


@dataclass
class Cloud:
    """`there` holds the inputs of everything that was made and not ended, by type and id."""

    machines: Machines
    there: dict[tuple[str, str], Values] = field(default_factory=dict)

    async def make(self, token: str, inputs: Values) -> str:
        """The id of a new resource. Raises MachineError."""
        identity = f"{PREFIXES[token]}-{secrets.token_hex(9)[:17]}"
        if token == INSTANCE:
            await self.machines.start(str(plain(inputs.get("privateIp"))), str(plain(inputs.get("userData"))))
        self.there[token, identity] = inputs
        return identity

    def change(self, token: str, identity: str, inputs: Values) -> None:
        """A resource is as `inputs` have it from now on."""
        self.there[token, identity] = inputs

    async def end(self, token: str, identity: str, inputs: Values) -> None:
        """A resource is no more, also one that another process made; a group's rules go with it. Raises MachineError."""
        if token == INSTANCE:
            await self.machines.stop(str(plain(inputs.get("privateIp"))))
        self.there.pop((token, identity), None)
        for key in [key for key, rule in self.there.items() if plain(rule.get("securityGroupId")) == identity]:
            del self.there[key]
