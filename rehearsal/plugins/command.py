"""Stands in for the `command` plugin 1.2: remote.Command, remote.CopyToRemote, local.Command.

What it does follows the real plugin as far as a program can tell: the same changes and replacements, the same
outputs, the same unknowns in a preview, the same messages. Its remote side is a Transport.
"""
# ruff: noqa: N802, ARG002 -- the protocol names the methods, and passes arguments that not every one needs

import asyncio
import json
import secrets
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from . import execution
from .changes import Kind, changes
from .engines import Engines
from .inputs import COPY_TO_REMOTE, LOCAL_COMMAND, REPLACED_BY, RESOURCES, check
from .transport import Transport
from .values import Asset, Unknown, Value, Values, decode, encode, is_unknown, plain

VERSION = "1.2.1"

_OUTPUTS = ("stdout", "stderr")
_KINDS = {
    (Kind.ADD, False): provider_pb2.PropertyDiff.ADD,
    (Kind.ADD, True): provider_pb2.PropertyDiff.ADD_REPLACE,
    (Kind.DELETE, False): provider_pb2.PropertyDiff.DELETE,
    (Kind.DELETE, True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    (Kind.UPDATE, False): provider_pb2.PropertyDiff.UPDATE,
    (Kind.UPDATE, True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class CommandProvider(provider_pb2_grpc.ResourceProviderServicer):
    """The plugin's protocol. Every call is a coroutine on one loop, so that hundreds of steps can wait at once."""

    def __init__(self, transport: Transport, engines: Engines) -> None:
        self._transport = transport
        self._engines = engines
        self._local: dict[str, set[asyncio.Task[Values]]] = {}

    async def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: Context
    ) -> provider_pb2.ProviderHandshakeResponse:
        self._engines.attached(context.peer(), request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=True)

    async def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> empty_pb2.Empty:
        self._engines.attached(context.peer(), request.address)
        return empty_pb2.Empty()

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    async def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: Context
    ) -> provider_pb2.GetSchemaResponse:
        resources = {
            token: {
                "inputProperties": {name: {"type": "object"} for name in resource.inner or {}},
                "requiredInputs": [name for name, wanted in (resource.inner or {}).items() if wanted.required],
            }
            for token, resource in RESOURCES.items()
        }
        schema = {"name": "command", "version": VERSION, "resources": resources}
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    async def CheckConfig(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        await _refuse(context, "DiffConfig is not implemented", grpc.StatusCode.UNIMPLEMENTED)

    async def Configure(
        self, request: provider_pb2.ConfigureRequest, context: Context
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True
        )

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        token = _token(request.urn)
        if token not in RESOURCES:
            await _refuse(context, f"Resource '{token.partition(':')[2]}' not found", grpc.StatusCode.NOT_FOUND)
        inputs, failures = check(token, decode(request.news))
        return provider_pb2.CheckResponse(
            inputs=encode(inputs),
            failures=[provider_pb2.CheckFailure(property=found.property, reason=found.reason) for found in failures],
        )

    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        news = {name: value for name, value in decode(request.news).items() if not _internal(name)}
        found = changes(decode(request.old_inputs), news)
        replaces = sorted(REPLACED_BY & found.keys())
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=replaces,
            diffs=sorted({path.partition(".")[0].partition("[")[0] for path in found}),
            detailedDiff={
                path: provider_pb2.PropertyDiff(kind=_KINDS[kind, path in REPLACED_BY]) for path, kind in found.items()
            },
            hasDetailedDiff=True,
        )

    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:
        token, inputs = _token(request.urn), decode(request.properties)
        copies = token == COPY_TO_REMOTE
        name = "" if copies else request.urn.split("::", 3)[3]
        if request.preview:
            made: Values = {"source": Unknown()} if copies else {"stdout": Unknown(), "stderr": Unknown()}
            return provider_pb2.CreateResponse(id="" if copies else _identity(name), properties=encode(inputs | made))
        if copies:
            await self._copy(request.urn, inputs, context)
            outputs = inputs
        else:
            outputs = await self._run(request.urn, inputs.get("create"), inputs, {}, context)
        return provider_pb2.CreateResponse(id=_identity(name), properties=encode(outputs))

    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:
        token, inputs, state = _token(request.urn), decode(request.news), decode(request.olds)
        if token == COPY_TO_REMOTE:
            if request.preview:
                unknown: Values = {"source": Unknown()} if _matters(token, inputs, state) else {}
                return provider_pb2.UpdateResponse(properties=encode(inputs | unknown))
            # Only content and place count: a connection that changes alone copies nothing.
            if _content(inputs) != _content(state):
                await self._copy(request.urn, inputs, context)
            return provider_pb2.UpdateResponse(properties=encode(inputs))
        before: Values = {name: state[name] for name in _OUTPUTS if name in state}
        if request.preview:
            if _matters(token, inputs, state):
                before = {name: Unknown() for name in before}
            outputs = inputs | before
            return provider_pb2.UpdateResponse(properties=encode(outputs))
        command = inputs["update"] if "update" in inputs else inputs.get("create")
        outputs = await self._run(request.urn, command, inputs, before, context)
        return provider_pb2.UpdateResponse(properties=encode(outputs))

    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        state = decode(request.properties)
        if _token(request.urn) != COPY_TO_REMOTE:
            before: Values = {name: state[name] for name in _OUTPUTS if name in state}
            await self._run(request.urn, state.get("delete"), state, before, context)
        return empty_pb2.Empty()

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        """Ends the engine's local commands; a remote one goes on, as with the real plugin."""
        for task in self._local.get(self._engines.address(context.peer()), set()):
            task.cancel()
        return empty_pb2.Empty()

    async def _run(self, urn: str, command: Value, inputs: Values, before: Values, context: Context) -> Values:
        """The resource's outputs after `command` ran; nothing runs if there is none."""
        outputs: Values = {"stdout": "", "stderr": "", **before}
        if command is not None:
            given = inputs | before
            try:
                if _token(urn) == LOCAL_COMMAND:
                    outputs = await self._run_local(urn, str(plain(command)), given, context)
                else:
                    caller = self._caller(urn, context)
                    outputs = await execution.run_remote(self._transport, caller, str(plain(command)), given)
            except execution.ExecutionError as error:
                await _refuse(context, str(error))
        return inputs | outputs

    async def _run_local(self, urn: str, command: str, given: Values, context: Context) -> Values:
        running = self._local.setdefault(self._engines.address(context.peer()), set())
        task = asyncio.create_task(execution.run_local(self._caller(urn, context), command, given))
        running.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if context.cancelled():
                task.cancel()
                raise
            raise execution.ExecutionError("signal: killed") from None
        finally:
            running.discard(task)

    async def _copy(self, urn: str, inputs: Values, context: Context) -> None:
        try:
            await execution.copy(self._transport, self._caller(urn, context), inputs)
        except execution.ExecutionError as error:
            await _refuse(context, str(error))

    def _caller(self, urn: str, context: Context) -> execution.Caller:
        peer = context.peer()
        return execution.Caller(urn, self._engines.log(peer), self._engines.folder(peer))


async def _refuse(context: Context, message: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> NoReturn:
    await context.abort(code, message)
    raise AssertionError("abort always raises")


def _token(urn: str) -> str:
    """The resource's own type: a URN is urn:pulumi:STACK::PROJECT::PARENTS$TYPE::NAME, and a name may hold `::`."""
    return urn.split("::", 3)[2].rpartition("$")[2]


def _internal(name: str) -> bool:
    return name == "version" or name.startswith("__")


def _identity(name: str) -> str:
    return name + secrets.token_hex(4)


def _content(values: Values) -> tuple[str, Value]:
    source = plain(values.get("source"))
    return source.hash if isinstance(source, Asset) else "", plain(values.get("remotePath"))


def _matters(token: str, inputs: Values, state: Values) -> bool:
    """Whether a preview must call the outputs unknown: an input is unknown, or differs from what it was.

    An input that is new does not count; so it is in the real plugin.
    """
    return any(
        is_unknown(inputs.get(name)) or (name in state and inputs.get(name) != state[name])
        for name in RESOURCES[token].inner or {}
    )
