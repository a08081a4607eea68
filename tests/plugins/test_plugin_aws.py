"""The stand-in for AWS, spoken to as the engine does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import pytest
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from rehearsal.plugins.cloud import INSTANCE, Cloud, MachineError
from rehearsal.plugins.serve import Wanted, serving
from rehearsal.plugins.values import Values, decode, encode
from tests.plugins.simulated import HeardEngine, Servers

URN = "urn:pulumi:stack::project::pgleap:fleet:Fleet$"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
VOLUME = "aws:ebs/volume:Volume"
INPUTS: Values = {
    "ami": "ami-1",
    "instanceType": "t3.micro",
    "privateIp": "10.0.0.1",
    "userData": "#cloud-config\n",
    "metadataOptions": {"httpTokens": "required"},
}


@dataclass
class Machines:
    """Machines that start and stop as told; one address never does."""

    done: list[tuple[str, ...]] = field(default_factory=list)

    async def start(self, address: str, user_data: str) -> None:
        if address == "10.0.0.66":
            raise MachineError("no room")
        self.done.append(("start", address, user_data))

    async def stop(self, address: str) -> None:
        self.done.append(("stop", address))


@dataclass
class Aws:
    stub: provider_pb2_grpc.ResourceProviderStub
    cloud: Cloud
    machines: Machines

    def check(self, token: str, inputs: Values) -> list[str]:
        response = self.stub.Check(provider_pb2.CheckRequest(urn=f"{URN}{token}::x", news=encode(inputs)))
        return [f"{found.property}: {found.reason}" for found in response.failures]

    def create(self, token: str, inputs: Values, preview: bool = False) -> tuple[str, Values]:
        request = provider_pb2.CreateRequest(urn=f"{URN}{token}::x", properties=encode(inputs), preview=preview)
        response = self.stub.Create(request)
        return response.id, decode(response.properties)

    def replaces(self, token: str, old: Values, new: Values) -> list[str]:
        request = provider_pb2.DiffRequest(id="x", urn=f"{URN}{token}::x", old_inputs=encode(old), news=encode(new))
        return list(self.stub.Diff(request).replaces)

    def delete(self, token: str, identity: str, inputs: Values) -> None:
        request = provider_pb2.DeleteRequest(id=identity, urn=f"{URN}{token}::x", properties=encode(inputs))
        self.stub.Delete(request)


@pytest.fixture
def aws() -> Iterator[Aws]:
    engine, machines = HeardEngine(), Machines()
    cloud = Cloud(machines)
    with serving(Servers(), Wanted(command=False, language=False), cloud) as variables:
        port = variables["PULUMI_DEBUG_PROVIDERS"].removeprefix("aws:")
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            stub.Attach(plugin_pb2.PluginAttach(address=engine.address))
            yield Aws(stub, cloud, machines)
    engine.close()


def test_an_instance_is_a_machine_that_is_told_its_user_data(aws: Aws) -> None:
    """A stand-in that makes no machine proves nothing of a first boot."""
    identity, outputs = aws.create(INSTANCE, INPUTS)
    assert identity.startswith("i-")
    assert len(identity) == 19
    assert outputs["privateIp"] == "10.0.0.1"
    assert aws.machines.done == [("start", "10.0.0.1", "#cloud-config\n")]
    aws.delete(INSTANCE, identity, outputs)
    assert aws.machines.done[1:] == [("stop", "10.0.0.1")]
    assert aws.cloud.there == {}


def test_a_preview_makes_nothing(aws: Aws) -> None:
    """The lab would have servers that no stack knows."""
    aws.create(INSTANCE, INPUTS, preview=True)
    assert (aws.machines.done, aws.cloud.there) == ([], {})


def test_a_machine_that_does_not_start_fails_the_instance(aws: Aws) -> None:
    """Recorded all the same, the next `up` would wait for it in vain."""
    with pytest.raises(grpc.RpcError, match="no room"):
        aws.create(INSTANCE, {**INPUTS, "privateIp": "10.0.0.66"})
    assert aws.cloud.there == {}


def test_inputs_are_checked_as_the_real_provider_checks_them(aws: Aws) -> None:
    """A program that only the stand-in accepts fails in production."""
    assert aws.check(INSTANCE, INPUTS) == []
    assert aws.check(INSTANCE, {**INPUTS, "privateIP": "x"}) == ["privateIP: unknown"]
    assert aws.check(RULE, {"ipProtocol": "tcp"}) == ["securityGroupId: missing"]
    with pytest.raises(grpc.RpcError, match="has no aws:s3/bucket:Bucket"):
        aws.check("aws:s3/bucket:Bucket", {})


@pytest.mark.parametrize(
    ("token", "changed", "replaces"),
    [
        (INSTANCE, "ami", ["ami"]),
        (INSTANCE, "privateIp", ["privateIp"]),
        (INSTANCE, "instanceType", []),
        (INSTANCE, "userData", []),
        (VOLUME, "availabilityZone", ["availabilityZone"]),
        (VOLUME, "size", []),
        (GROUP, "description", ["description"]),
    ],
)
def test_what_replaces_at_aws_replaces_here(aws: Aws, token: str, changed: str, replaces: list[str]) -> None:
    """Where the stand-in updates, a rehearsal cannot show that production would get an empty machine."""
    assert aws.replaces(token, {changed: "before"}, {changed: "after"}) == replaces


def test_rules_go_with_their_group(aws: Aws) -> None:
    """As AWS has it; a rule that stays would be counted as one that was forgotten."""
    group, inputs = aws.create(GROUP, {"description": "x"})
    aws.create(RULE, {"securityGroupId": group, "ipProtocol": "tcp"})
    assert len(aws.cloud.there) == 2
    aws.delete(GROUP, group, inputs)
    assert aws.cloud.there == {}


def test_a_subnet_has_a_zone_and_nothing_else_is_answered(aws: Aws) -> None:
    request = provider_pb2.InvokeRequest(tok="aws:ec2/getSubnet:getSubnet", args=encode({"id": "subnet-1"}))
    answer = decode(getattr(aws.stub.Invoke(request), "return"))
    assert answer == {"id": "subnet-1", "availabilityZone": "eu-central-1a"}
    with pytest.raises(grpc.RpcError, match="has no function"):
        aws.stub.Invoke(provider_pb2.InvokeRequest(tok="aws:ec2/getAmi:getAmi", args=encode({})))
