"""The drained servers' target groups, against an AWS in memory (moto) behind the real boto3."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from components.desired import Desire
from components.settings import Settings
from scripts.preflight import balancing
from scripts.preflight.balancing import Targets
from scripts.preflight.report import Status
from tests.preflight.answers import FakeFleet
from tests.unit.example_config import AWS, REGION, config
from tests.unit.test_load_balancer_aws import Balancer


@pytest.fixture
def balancer() -> Iterator[Balancer]:
    with mock_aws():
        yield Balancer()


def fleet(arns: list[str], instance: str | None, phase: str = "prepare") -> FakeFleet:
    """web3 is in these groups by the stack's config; what AWS says of it was asked."""
    raw = config()
    raw["servers"]["web3"].update({"targetGroups": arns, **({"instanceId": instance} if instance else {})})
    found = FakeFleet(servers=raw["servers"], aws=AWS, phase=phase)
    found.balancing = balancing.look(Desire(found.settings))
    return found


def test_a_server_that_is_registered_and_healthy(balancer: Balancer) -> None:
    arns = [balancer.group("instance", name="one"), balancer.group("ip", name="two")]
    balancer.elb.register_targets(TargetGroupArn=arns[0], Targets=[{"Id": balancer.instance}])
    balancer.elb.register_targets(TargetGroupArn=arns[1], Targets=[{"Id": "10.77.0.23"}])
    found = fleet(arns, balancer.instance)
    assert found.row("target-groups").status is Status.OK
    assert found.balancing is not None
    assert found.balancing.groups == {"one": Targets(2, 1), "two": Targets(2, 1)}
    assert "one: 1 of 2 healthy targets stay" in found.row("online-capacity").outcome.found["fleet"][1]


def test_a_server_that_is_not_registered(balancer: Balancer) -> None:
    """It would be registered at the end of the window, where nobody expects it, or waited for in vain."""
    found = fleet([balancer.group("ip")], None).row("target-groups")
    assert (found.status, found.outcome.found) == (Status.REFUSE, {"web3": ["10.77.0.23 is not registered in web"]})


def test_a_server_that_is_not_healthy(balancer: Balancer) -> None:
    arn = balancer.group("instance")
    balancer.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": balancer.instance}])
    boto3.client("ec2", REGION).stop_instances(InstanceIds=[balancer.instance])
    (sentence,) = fleet([arn], balancer.instance).row("target-groups").outcome.found["web3"]
    assert sentence.startswith(f"{balancer.instance}:8080 in web is unused")


def test_a_group_of_instances_without_an_id(balancer: Balancer) -> None:
    """The step would refuse over it, in the window."""
    (sentence,) = fleet([balancer.group("instance")], None).row("target-groups").outcome.found["web3"]
    assert "the instance id of web3" in sentence


def test_what_cannot_be_asked_is_not_checked(balancer: Balancer) -> None:
    gone = balancer.group("ip")
    balancer.elb.delete_target_group(TargetGroupArn=gone)
    found = fleet([gone], None).row("target-groups")
    assert found.status is Status.NOT_CHECKED
    assert "TargetGroupNotFound" in found.outcome.unseen["web3"]


def test_in_the_window_they_are_out(balancer: Balancer) -> None:
    found = fleet([balancer.group("ip")], None, phase="readonly").row("target-groups")
    assert (found.status, found.outcome.unseen) == (Status.NOT_CHECKED, {"web3": "it is out in readonly"})


def test_without_target_groups_aws_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no AWS has no credentials for it either."""
    monkeypatch.setattr("boto3.client", lambda *_, **__: pytest.fail("AWS was asked"))
    assert balancing.look(Desire(Settings.from_config(config()))).looked == []
