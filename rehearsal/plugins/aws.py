"""Stands in for the `aws` provider, as far as pgleap's instances need it: an instance that is made is a machine that boots.

Security groups, their rules, volumes and attachments are only recorded, under ids such as AWS gives: nothing is filtered, and no
disk is attached. Inputs are checked against the SDK's own types, and changes replace what they replace at AWS. An update of an
instance changes the record alone.
"""
# ruff: noqa: N802, ARG002 -- the protocol names the methods, and passes arguments that not every one needs

from __future__ import annotations

import json

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from .aws_types import mistakes, resource_inputs
from .changes import changes
from .cloud import INSTANCE, PREFIXES, Cloud, MachineError
from .engines import Engines
from .provider import Context, Provider, difference, is_internal, refuse, token_of
from .values import Unknown, Values, decode, encode, plain

VERSION = "7.51.1"
ZONE = "eu-central-1a"
ACCOUNT = "123456789012"
GET_SUBNET = "aws:ec2/getSubnet:getSubnet"
# "Forces new resource" in the documentation of the provider's resources.
REPLACED_BY = {
    INSTANCE: {"ami", "subnetId", "privateIp", "keyName", "associatePublicIpAddress", "availabilityZone"},
    "aws:ec2/securityGroup:SecurityGroup": {"description", "name", "vpcId"},
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": {"securityGroupId"},
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": {"securityGroupId"},
    "aws:ebs/volume:Volume": {"availabilityZone", "encrypted", "kmsKeyId", "snapshotId"},
    "aws:ec2/volumeAttachment:VolumeAttachment": {"deviceName", "instanceId", "volumeId"},
}


class AwsProvider(Provider):
    """The provider's resources, over a Cloud."""

    version = VERSION

    def __init__(self, cloud: Cloud, engines: Engines) -> None:
        super().__init__(engines)
        self._cloud = cloud

    async def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: Context
    ) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "aws", "version": VERSION}))

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        token = token_of(request.urn)
        if token not in PREFIXES:
            await refuse(context, f"the stand-in for AWS has no {token}", grpc.StatusCode.NOT_FOUND)
        inputs = {name: value for name, value in decode(request.news).items() if not is_internal(name)}
        found = (mistake.split(": ", 1) for mistake in mistakes(inputs, resource_inputs(token)))
        failures = [provider_pb2.CheckFailure(property=path, reason=reason) for path, reason in found]
        return provider_pb2.CheckResponse(inputs=encode(inputs), failures=failures)

    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        news = {name: value for name, value in decode(request.news).items() if not is_internal(name)}
        return difference(changes(decode(request.old_inputs), news), REPLACED_BY[token_of(request.urn)])

    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:
        token, inputs = token_of(request.urn), decode(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=encode({**inputs, "arn": Unknown()}))
        try:
            identity = await self._cloud.make(token, inputs)
        except MachineError as error:
            await refuse(context, f"creating {token}: {error}")
        return provider_pb2.CreateResponse(id=identity, properties=encode(_outputs(inputs, identity)))

    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:
        inputs = decode(request.news)
        if not request.preview:
            self._cloud.change(token_of(request.urn), request.id, inputs)
        return provider_pb2.UpdateResponse(properties=encode(_outputs(inputs, request.id)))

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        token = token_of(request.urn)
        try:
            await self._cloud.end(token, request.id, decode(request.properties))
        except MachineError as error:
            await refuse(context, f"deleting {token} {request.id}: {error}")
        return empty_pb2.Empty()

    async def Invoke(self, request: provider_pb2.InvokeRequest, context: Context) -> provider_pb2.InvokeResponse:
        if request.tok != GET_SUBNET:
            await refuse(context, f"the stand-in for AWS has no function {request.tok}", grpc.StatusCode.NOT_FOUND)
        asked = {name: plain(value) for name, value in decode(request.args).items()}
        answer: Values = {**asked, "availabilityZone": ZONE}
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(encode(answer))
        return response


def _outputs(inputs: Values, identity: str) -> Values:
    return {**inputs, "arn": f"arn:aws:ec2:{ZONE[:-1]}:{ACCOUNT}:{identity}"}
