"""A server's membership in its AWS target groups: observed, decided, changed in all of them at once, and waited for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scripts import aws
from scripts.local_step import Desired, Time, Wait, say
from scripts.report import Facts, Refusal
from scripts.target_group import HEALTHY, State, TargetGroup

if TYPE_CHECKING:
    from types_boto3_elbv2 import ElasticLoadBalancingv2Client

NOT_THERE = State("not registered", "")


def target_groups(desired: Desired, time: Time, elb: ElasticLoadBalancingv2Client) -> Facts:
    """Bring the server in or out. Raises Refusal: before anything is touched if a group cannot hold it, past the deadline, and
    with what AWS refuses."""
    with aws.errors_told(desired):
        found = elb.describe_target_groups(TargetGroupArns=list(desired["targetGroups"]))["TargetGroups"]
        groups = [TargetGroup.of(elb, one, desired) for one in found]
        if desired["membership"] == "out":
            return _out(desired["server"], groups, Wait(desired["drainSeconds"], time))
        return _in(desired["server"], groups, Wait(desired["healthySeconds"], time))


def _out(server: str, groups: Sequence[TargetGroup], wait: Wait) -> Facts:
    there = [(group, ports) for group in groups if (ports := group.look().registered)]
    for group, ports in there:
        group.keep(ports)
    changed = []
    for group, ports in there:
        say(f"deregistering {group.shown(ports)}")
        group.deregister(ports)
        changed.append(f"deregistered {group.shown(ports)}")

    def too_late(found: str) -> Refusal:
        delays = ", ".join(f"{group.name} after {group.drain_delay()} s" for group in groups)
        return Refusal(
            f"the connections of {server} to have drained within {wait.seconds:g} s, the stack's loadBalancer.drainSeconds",
            f"after {wait.seconds:g} s {found}",
            f"wait for them to end, then run `pulumi up` again; AWS ends them by itself, those in {delays},"
            " and drainSeconds should be more",
        )

    seconds = wait.until_nothing_is(lambda: _draining(groups), too_late)
    because = f"all connections had drained after {seconds:.0f} s" if changed else "it was in none of its target groups"
    return {"membership": "out", "changed": changed, "because": because}


def _draining(groups: Sequence[TargetGroup]) -> str:
    found = [(group, port, state) for group in groups for port, state in group.look().states.items()]
    return ", ".join(f"{group.shown([port])} is {state}" for group, port, state in found)


def _in(server: str, groups: Sequence[TargetGroup], wait: Wait) -> Facts:
    changed = []
    wanted = []
    for group in groups:
        seen, kept = group.look(), group.kept()
        ports = {**(kept or seen.draining), **seen.registered} or {group.port: ""}
        back = {port: zone for port, zone in ports.items() if port not in seen.registered}
        if back:
            where = "as before" if kept or seen.draining else "the group's default port"
            say(f"registering {group.shown(back)}, {where}")
            group.register(back)
            changed.append(f"registered {group.shown(back)}, {where}")
        wanted.append((group, list(ports)))

    def too_late(found: str) -> Refusal:
        return Refusal(
            f"{server} to be healthy within {wait.seconds:g} s, the stack's loadBalancer.healthySeconds",
            f"after {wait.seconds:g} s {found}",
            "see why its health check fails, or take longer; then run `pulumi up` again",
        )

    seconds = wait.until_nothing_is(lambda: _unhealthy(wanted), too_late)
    for group, _ in wanted:
        group.keep({})
    because = (
        f"all were healthy after {seconds:.0f} s" if changed else "it was in all its target groups, and is healthy"
    )
    return {"membership": "in", "changed": changed, "because": because}


def _unhealthy(wanted: Sequence[tuple[TargetGroup, Sequence[int]]]) -> str:
    found = []
    for group, ports in wanted:
        states = group.look().states
        states_of = [(port, states.get(port, NOT_THERE)) for port in ports]
        found += [f"{group.shown([port])} is {state}" for port, state in states_of if state.health != HEALTHY]
    return ", ".join(found)
