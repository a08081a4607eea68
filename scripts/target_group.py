"""One AWS target group, of an ALB or an NLB, as far as one server is concerned.

Where a server is registered otherwise than a registration has it by default, that is kept in a tag of the group until the server is
back: AWS forgets a target that has left, and it may be put back from another machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.local_step import Desired
from scripts.report import Refusal

if TYPE_CHECKING:
    from types_boto3_elbv2 import ElasticLoadBalancingv2Client
    from types_boto3_elbv2.type_defs import (
        TargetDescriptionTypeDef,
        TargetGroupTypeDef,
        TargetHealthDescriptionTypeDef,
    )

# How targets stand in a tag's value, which must not hold commas or brackets: `8080`, or `8080@eu-central-1a`.
KEPT = re.compile(r"(\d+)(?:@([a-z0-9-]+))?")
# AWS's word for a target that gets no new connections and may keep those that it has.
DRAINING = "draining"
HEALTHY = "healthy"

# Port -> availability zone; the zone is empty where AWS needs none (it is for targets by address only).
Ports = Mapping[int, str]


@dataclass(frozen=True)
class State:
    """What AWS says of a target: a word for its health, and why, if it says why."""

    health: str
    why: str

    def __str__(self) -> str:
        return f"{self.health} ({self.why})" if self.why else self.health


@dataclass(frozen=True)
class Seen:
    """The server's targets in a group: those that get new connections, those that are leaving, and the state of each port."""

    registered: Ports
    draining: Ports
    states: Mapping[int, State]


@dataclass(frozen=True)
class TargetGroup:
    """`port` is the default for its targets; `id` is what it knows the server by."""

    elb: ElasticLoadBalancingv2Client
    arn: str
    name: str
    port: int
    id: str
    server: str

    @classmethod
    def of(cls, elb: ElasticLoadBalancingv2Client, found: TargetGroupTypeDef, desired: Desired) -> TargetGroup:
        """From AWS's description. Raises Refusal if it cannot hold the server, or not by what the stack's config says of it."""
        server, name, kind = desired["server"], found["TargetGroupName"], found.get("TargetType", "instance")
        if kind not in ("instance", "ip"):
            raise Refusal(
                f"{name} to be a target group of instances or addresses",
                f"its targets are of the type {kind}",
                f"correct pgleap:servers.{server}.targetGroups; nothing was changed",
            )
        known_by = desired.get("instanceId") if kind == "instance" else desired["address"]
        if known_by is None:
            raise Refusal(
                f"the instance id of {server}, by which the target group {name} knows its targets",
                "none in the stack's config",
                f"pulumi config set --path pgleap:servers.{server}.instanceId i-..., then `pulumi up`; nothing was changed",
            )
        return cls(elb, found["TargetGroupArn"], name, found["Port"], known_by, server)

    def look(self) -> Seen:
        """The server's targets as they are now."""
        registered: dict[int, str] = {}
        draining: dict[int, str] = {}
        states: dict[int, State] = {}
        for one in self._mine():
            health = one["TargetHealth"]
            port, zone = one["Target"].get("Port", self.port), one["Target"].get("AvailabilityZone", "")
            reasons = (health.get("Reason", ""), health.get("Description", ""))
            states[port] = State(health["State"], ": ".join(reason for reason in reasons if reason))
            (draining if health["State"] == DRAINING else registered)[port] = zone
        return Seen(registered, draining, states)

    def _mine(self) -> list[TargetHealthDescriptionTypeDef]:
        listed = self.elb.describe_target_health(TargetGroupArn=self.arn)["TargetHealthDescriptions"]
        return [one for one in listed if _same(one["Target"]["Id"], self.id)]

    def shown(self, ports: Iterable[int]) -> str:
        """As in `i-0123456789abcdef0:8080 in web-http`."""
        return f"{', '.join(f'{self.id}:{port}' for port in ports)} in {self.name}"

    def register(self, ports: Ports) -> None:
        targets: list[TargetDescriptionTypeDef] = []
        for port, zone in ports.items():
            targets.append({"Id": self.id, "Port": port})
            if zone:
                targets[-1]["AvailabilityZone"] = zone
        self.elb.register_targets(TargetGroupArn=self.arn, Targets=targets)

    def deregister(self, ports: Ports) -> None:
        """As AWS itself describes them: it must find them."""
        targets = [one["Target"] for one in self._mine() if one["Target"].get("Port", self.port) in ports]
        self.elb.deregister_targets(TargetGroupArn=self.arn, Targets=targets)

    @property
    def _tag(self) -> str:
        return f"pgleap:{self.server}"

    def kept(self) -> Ports:
        """How the server was registered before it left, if that was kept."""
        described = self.elb.describe_tags(ResourceArns=[self.arn])["TagDescriptions"]
        tags = {tag["Key"]: tag.get("Value", "") for one in described for tag in one.get("Tags", [])}
        return {int(port): zone for port, zone in KEPT.findall(tags.get(self._tag, ""))}

    def keep(self, ports: Ports) -> None:
        """Keep that the server is registered so, or nothing if a registration has it so by default."""
        wanted = {} if ports == {self.port: ""} else ports
        if wanted == self.kept():
            return
        if wanted:
            value = " ".join(f"{port}@{zone}" if zone else str(port) for port, zone in wanted.items())
            self.elb.add_tags(ResourceArns=[self.arn], Tags=[{"Key": self._tag, "Value": value}])
        else:
            self.elb.remove_tags(ResourceArns=[self.arn], TagKeys=[self._tag])

    def drain_delay(self) -> str:
        """The seconds after which AWS ends the connections of a target that leaves."""
        attributes = self.elb.describe_target_group_attributes(TargetGroupArn=self.arn)["Attributes"]
        given = {one.get("Key"): one.get("Value") for one in attributes}
        return given.get("deregistration_delay.timeout_seconds") or "an unknown number of"


def _same(one: str, other: str) -> bool:
    """Whether two ids name the same target; an IPv6 address can be written in many ways."""
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one == other
