"""What AWS says of the drained servers' target groups. It only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.desired import Desire
from components.settings import Server
from scripts.report import Refusal

if TYPE_CHECKING:
    from types_boto3_elbv2 import ElasticLoadBalancingv2Client

NOT_THERE = "not registered"


@dataclass
class Balancing:
    """By server: what is wrong with its registrations, or why they could not be seen. By target group: its healthy targets, and how
    many of them are drained servers'."""

    looked: list[str] = field(default_factory=list)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    unseen: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Targets] = field(default_factory=dict)


@dataclass(frozen=True)
class Targets:
    healthy: int
    leaving: int


def balanced(desire: Desire) -> list[Server]:
    """The drained servers with target groups."""
    return [server for server in desire.settings.balanced if server.target_groups]


def look(desire: Desire) -> Balancing:
    """Every drained server in each of its target groups."""
    found = Balancing()
    if not balanced(desire):
        return found
    leaving: dict[str, int] = {}
    for server in balanced(desire):
        asked = {"server": server.name, "address": server.address, **desire.load_balancer(server)}
        try:
            # Here, for boto3 takes half a second to import.
            from scripts import aws  # noqa: PLC0415

            with aws.errors_told(asked):
                _look_at(asked, aws.load_balancing(asked), found, leaving)
        except Refusal as refused:
            found.unseen[server.name] = refused.found
        except Exception as wrong:  # whatever it is, everything else is to be told
            found.unseen[server.name] = f"could not be looked at: {type(wrong).__name__}: {wrong}"
    return found


def _look_at(
    asked: Mapping[str, Any], elb: ElasticLoadBalancingv2Client, found: Balancing, leaving: dict[str, int]
) -> None:
    from scripts.target_group import HEALTHY, TargetGroup  # noqa: PLC0415

    server = asked["server"]
    wrong = []
    for described in elb.describe_target_groups(TargetGroupArns=list(asked["targetGroups"]))["TargetGroups"]:
        try:
            group = TargetGroup.of(elb, described, asked)
        except Refusal as refused:
            wrong.append(f"{described['TargetGroupName']}: {refused.found} ({refused.expected})")
            continue
        states = group.look().states
        if not states:
            wrong.append(f"{group.id} is {NOT_THERE} in {group.name}")
        wrong += [f"{group.shown([port])} is {state}" for port, state in states.items() if state.health != HEALTHY]
        leaving[group.name] = leaving.get(group.name, 0) + sum(one.health == HEALTHY for one in states.values())
        listed = elb.describe_target_health(TargetGroupArn=group.arn)["TargetHealthDescriptions"]
        healthy = sum(one["TargetHealth"]["State"] == HEALTHY for one in listed)
        found.groups[group.name] = Targets(healthy, leaving[group.name])
    found.looked.append(server)
    if wrong:
        found.wrong[server] = wrong
