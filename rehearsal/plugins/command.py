"""Stands in for the `command` plugin 1.2: remote.Command, remote.CopyToRemote, local.Command.

What it does follows the real plugin as far as a program can tell: the same changes and replacements, the same
outputs, the same unknowns in a preview, the same messages. Its remote side is a Transport.
"""
# ruff: noqa: N802, ARG002 -- the protocol names the methods, and passes arguments that not every one needs

import asyncio
import json
import secrets

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from . import execution
from .changes import changes
from .engines import Engines
from .inputs import COPY_TO_REMOTE, LOCAL_COMMAND, REPLACED_BY, RESOURCES, check
from .provider import Context, Provider, difference, is_internal, refuse, token_of
from .transport import Transport
from .values import Asset, Unknown, Value, Values, decode, encode, is_unknown, plain

VERSION = "1.2.1"

_OUTPUTS = ("stdout", "stderr")


class CommandProvider(Provider):
    """The plugin's resources."""

    version = VERSION

    def __init__(self, transport: Transport, engines: Engines) -> None:
        super().__init__(engines)
        self._transport = transport
        self._local: dict[str, set[asyncio.Task[Values]]] = {}

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

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        token = token_of(request.urn)
        if token not in RESOURCES:
            await refuse(context, f"Resource '{token.partition(':')[2]}' not found", grpc.StatusCode.NOT_FOUND)
        inputs, failures = check(token, decode(request.news))
        return provider_pb2.CheckResponse(
            inputs=encode(inputs),
            failures=[provider_pb2.CheckFailure(property=found.property, reason=found.reason) for found in failures],
        )

    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        news = {name: value for name, value in decode(request.news).items() if not is_internal(name)}
        found = changes(decode(request.old_inputs), news)
        return difference(found, REPLACED_BY)

    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:
        token, inputs = token_of(request.urn), decode(request.properties)
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
        token, inputs, state = token_of(request.urn), decode(request.news), decode(request.olds)
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

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        state = decode(request.properties)
        if token_of(request.urn) != COPY_TO_REMOTE:
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
                if token_of(urn) == LOCAL_COMMAND:
                    outputs = await self._run_local(urn, str(plain(command)), given, context)
                else:
                    caller = self._caller(urn, context)
                    outputs = await execution.run_remote(self._transport, caller, str(plain(command)), given)
            except execution.ExecutionError as error:
                await refuse(context, str(error))
        return inputs | outputs

    async def _run_local(self, urn: str, command: str, given: Values, context: Context) -> Values:
        running = self._local.setdefault(self._engines.address(context.peer()), set())
        task = asyncio.create_task(execution.run_local(self._transport, self._caller(urn, context), command, given))
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
            await refuse(context, str(error))

    def _caller(self, urn: str, context: Context) -> execution.Caller:
        peer = context.peer()
        return execution.Caller(urn, self._engines.log(peer), self._engines.folder(peer))


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
