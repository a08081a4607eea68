"""What every stand-in for a provider answers alike. Its resources are the subclass's."""
# ruff: noqa: N802, ARG002 -- the protocol names the methods, and passes arguments that not every one needs

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from .changes import Kind
from .engines import Engines

_KINDS = {
    (Kind.ADD, False): provider_pb2.PropertyDiff.ADD,
    (Kind.ADD, True): provider_pb2.PropertyDiff.ADD_REPLACE,
    (Kind.DELETE, False): provider_pb2.PropertyDiff.DELETE,
    (Kind.DELETE, True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    (Kind.UPDATE, False): provider_pb2.PropertyDiff.UPDATE,
    (Kind.UPDATE, True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The protocol beside the resources. Every call is a coroutine on one loop, so that hundreds of steps can wait at once."""

    version: str

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: Context
    ) -> provider_pb2.ProviderHandshakeResponse:
        self._engines.attached(context.peer(), request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=True)

    async def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> empty_pb2.Empty:
        self._engines.attached(context.peer(), request.address)
        return empty_pb2.Empty()

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self.version)

    async def CheckConfig(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        await refuse(context, "DiffConfig is not implemented", grpc.StatusCode.UNIMPLEMENTED)

    async def Configure(
        self, request: provider_pb2.ConfigureRequest, context: Context
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True
        )

    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        return empty_pb2.Empty()


def difference(found: Mapping[str, Kind], replaced_by: Collection[str]) -> provider_pb2.DiffResponse:
    """The changes, path by path, as the engine wants to be told; those of `replaced_by` replace the resource."""
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
        replaces=sorted(set(replaced_by) & found.keys()),
        diffs=sorted({path.partition(".")[0].partition("[")[0] for path in found}),
        detailedDiff={
            path: provider_pb2.PropertyDiff(kind=_KINDS[kind, path in replaced_by]) for path, kind in found.items()
        },
        hasDetailedDiff=True,
    )


async def refuse(context: Context, message: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> NoReturn:
    """End the call with an error that the engine shows."""
    await context.abort(code, message)
    raise AssertionError("abort always raises")


def token_of(urn: str) -> str:
    """The resource's own type: a URN is urn:pulumi:STACK::PROJECT::PARENTS$TYPE::NAME, and a name may hold `::`."""
    return urn.split("::", 3)[2].rpartition("$")[2]


def is_internal(name: str) -> bool:
    """Whether an input is the engine's own."""
    return name == "version" or name.startswith("__")
