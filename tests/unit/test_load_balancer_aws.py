"""A server's membership in target groups, against an AWS in memory (moto) behind the real boto3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from scripts import aws
from scripts.report import Refusal
from scripts.target_groups import target_groups
from tests.unit.operator_steps import MOTOS_IMAGE, REGION, FakeTime, membership

if TYPE_CHECKING:
    from types_boto3_elbv2 import ElasticLoadBalancingv2Client
    from types_boto3_elbv2.literals import ProtocolEnumType, TargetTypeEnumType

OTHER_ADDRESS = "10.77.0.22"


class Balancer:
    """A VPC with two instances, web3's and another one's."""

    def __init__(self) -> None:
        ec2 = boto3.client("ec2", REGION)
        self.elb: ElasticLoadBalancingv2Client = boto3.client("elbv2", REGION)
        self._vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
        made = ec2.run_instances(ImageId=MOTOS_IMAGE, MinCount=2, MaxCount=2)["Instances"]
        self.instance, self.other = (one["InstanceId"] for one in made)

    def group(self, kind: TargetTypeEnumType, protocol: ProtocolEnumType = "HTTP", name: str = "web") -> str:
        """A target group's ARN. The other server is in it, on the default port, 8080."""
        found = self.elb.create_target_group(Name=name, Protocol=protocol, Port=8080, VpcId=self._vpc, TargetType=kind)
        arn = found["TargetGroups"][0]["TargetGroupArn"]
        other = self.other if kind == "instance" else OTHER_ADDRESS
        self.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": other}])
        return arn

    def targets(self, arn: str) -> dict[str, int]:
        """Id -> port of what gets new connections."""
        listed = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["Target"]["Port"] for one in listed}

    def tags(self, arn: str) -> dict[str, str]:
        described = self.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"]
        return {tag["Key"]: tag["Value"] for one in described for tag in one["Tags"]}


@pytest.fixture
def balancer() -> Iterator[Balancer]:
    with mock_aws():
        yield Balancer()


def asked(wanted: str, groups: list[str], **more: Any) -> dict[str, Any]:
    desired = membership(wanted, groups, **more)
    return target_groups(desired, FakeTime().time, aws.load_balancing(desired))


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"], ids=["ALB", "NLB"])
@pytest.mark.parametrize("kind", ["instance", "ip"])
def test_out_and_in_again_for_every_kind_of_group(
    balancer: Balancer, kind: TargetTypeEnumType, protocol: ProtocolEnumType
) -> None:
    """A server that a group knows by another id than it is asked about stays in, in silence; and nobody else may leave."""
    arn = balancer.group(kind, protocol)
    id_ = balancer.instance if kind == "instance" else "10.77.0.23"
    before = {**balancer.targets(arn), id_: 8080}
    balancer.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": id_, "Port": 8080}])
    more = {"instanceId": balancer.instance}
    out = asked("out", [arn], **more)
    assert out["changed"] == [f"deregistered {id_}:8080 in web"]
    assert balancer.targets(arn) == {other: port for other, port in before.items() if other != id_}
    back = asked("in", [arn], **more)
    assert back["changed"] == [f"registered {id_}:8080 in web, the group's default port"]
    assert balancer.targets(arn) == before
    assert balancer.tags(arn) == {}, "what need not be kept takes one of the group's fifty tags"


@pytest.mark.parametrize(("wanted", "because"), [("in", "is healthy"), ("out", "none of its target groups")])
def test_what_is_as_it_is_wanted_is_left_alone(balancer: Balancer, wanted: str, because: str) -> None:
    """The first `up`, and each with a raised round, runs the step: a server that is in must not be registered on another port."""
    arn = balancer.group("ip")
    if wanted == "in":
        balancer.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.77.0.23", "Port": 9090}])
    before = balancer.targets(arn)
    facts = asked(wanted, [arn])
    assert (facts["changed"], facts["membership"]) == ([], wanted)
    assert because in facts["because"]
    assert balancer.targets(arn) == before


def test_a_port_of_ones_own_outlasts_the_time_outside(balancer: Balancer) -> None:
    """AWS forgets it: on the group's default port the server would be put where nothing listens, or another program does."""
    arn = balancer.group("ip")
    balancer.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.77.0.23", "Port": 9090}])
    asked("out", [arn])
    assert balancer.tags(arn) == {"pgleap:web3": "9090"}
    asked("out", [arn])
    assert asked("in", [arn])["changed"] == ["registered 10.77.0.23:9090 in web, as before"]
    assert balancer.targets(arn)["10.77.0.23"] == 9090
    assert balancer.tags(arn) == {}, "a tag that stays would bring an old port back at the next upgrade"


def test_all_groups_of_a_server(balancer: Balancer) -> None:
    """Out of one group and in another, it still gets what it must not get."""
    arns = [balancer.group("ip", name="one"), balancer.group("instance", name="two")]
    for arn, id_ in zip(arns, ["10.77.0.23", balancer.instance], strict=True):
        balancer.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": id_}])
    assert len(asked("out", arns, instanceId=balancer.instance)["changed"]) == 2
    assert [len(balancer.targets(arn)) for arn in arns] == [1, 1]


def test_a_group_of_instances_without_an_instance_id_is_refused_before_anything_is_touched(balancer: Balancer) -> None:
    """The kind of a group is not in the stack's config; by its address the group would not find the server, and call it out."""
    arns = [balancer.group("ip", name="one"), balancer.group("instance", name="two")]
    balancer.elb.register_targets(TargetGroupArn=arns[0], Targets=[{"Id": "10.77.0.23"}])
    with pytest.raises(Refusal, match=r"target group two knows.*pgleap:servers\.web3\.instanceId"):
        asked("out", arns)
    assert "10.77.0.23" in balancer.targets(arns[0])


def test_a_group_of_functions_is_refused(balancer: Balancer) -> None:
    """A server cannot be in it: it would be called out for ever."""
    arn = balancer.elb.create_target_group(Name="code", TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
    with pytest.raises(Refusal, match="type lambda"):
        asked("out", [arn])


def test_what_aws_refuses_is_told_with_what_to_do(balancer: Balancer) -> None:
    """A traceback of boto3's hides that a group's name was mistyped, or that nobody is logged in."""
    arn = balancer.group("ip")
    with pytest.raises(Refusal, match=r"AWS in eu-central-1.*TargetGroupNotFound.*pulumi up") as refused:
        asked("out", [f"{arn[:-3]}000"])
    assert "web3" in str(refused.value)


def test_an_endpoint_of_ones_own_is_asked() -> None:
    """A test against a stand-in for AWS that asked AWS itself would take real servers out."""
    client = aws.load_balancing(membership("out", [], endpoint="http://127.0.0.1:5000"))
    assert client.meta.endpoint_url == "http://127.0.0.1:5000"
    assert aws.compute(membership("out", [])).meta.endpoint_url == "https://ec2.eu-central-1.amazonaws.com"
