"""What the program declares, without an engine: Pulumi's mocks, and a monitor that keeps what each resource was registered with."""

from __future__ import annotations

import asyncio
import json
import logging
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc, set_all_config
from pulumi.runtime.settings import SETTINGS, get_root_resource
from pulumi.runtime.stack import Stack, run_pulumi_func
from pulumi.runtime.sync_await import _sync_await

from components.settings import SECRETS, Settings
from scripts.many import each_of

PROJECT = Path(__file__).resolve().parents[2]
OTHERS, TASKS, BALANCER = "others-hosts-files", "workers-offline-tasks", "drained-load-balancer"
COMMAND, COPY, LOCAL = "command:remote:Command", "command:remote:CopyToRemote", "command:local:Command"
# What the stack's own outputs say of instances that were there before.
INSTANCES = {"db-a": "db-a-instance-id"}


@dataclass(frozen=True)
class Options:
    """What the engine is told about a resource beside its inputs. `provider` and `deleted_with` are URNs, empty for none."""

    protect: bool
    retain: bool
    delete_first: bool
    ignore: frozenset[str]
    provider: str
    deleted_with: str


@dataclass(frozen=True)
class Declared:
    """One resource as the engine would be told of it; `secret` names the inputs that are secrets, `inputs` has them opened.
    `parent` is a URN, empty for the stack. `options` are those of the engine's that a test looks at."""

    type: str
    name: str
    urn: str
    parent: str
    inputs: Mapping[str, Any]
    secret: frozenset[str]
    depends_on: frozenset[str]
    options: Options

    @property
    def stdin(self) -> dict[str, Any]:
        """The desired state of a step."""
        found: dict[str, Any] = json.loads(self.inputs["stdin"])
        return found


class Program:
    """Everything that was declared for one stack config."""

    def __init__(self, declared: list[Declared], raw: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        self.declared = declared
        self.settings = Settings.from_config(raw)
        self.outputs = outputs
        self.steps = {found.name: found for found in declared if found.type == COMMAND}
        self.local_steps = {found.name: found for found in declared if found.type == LOCAL}
        self.copies = {found.name: found for found in declared if found.type == COPY}
        self.every_step = {**self.steps, **self.local_steps}
        self._by_urn = {found.urn: found for found in declared}

    def asked(self, step: str) -> dict[str, dict[str, Any]]:
        """What a step for many servers asks for, by server: its agent's desired state, or a load balancer's. Nothing without the step."""
        told = self.local_steps.get(step)
        return {} if told is None else {name: dict(each) for name, each in each_of(told.stdin).items()}

    def waits_for(self, step: str) -> set[str]:
        """The names of all steps that a step waits for, those that these wait for included."""
        found: set[str] = set()
        ahead = [self.every_step[step]]
        while ahead:
            # All but the stack's reference to itself, which is read and not registered.
            for urn in ahead.pop().depends_on & self._by_urn.keys():
                before = self._by_urn[urn]
                if before.name not in found:
                    found.add(before.name)
                    ahead.append(before)
        return found

    @property
    def edges(self) -> int:
        """How many times one resource waits for another one."""
        return sum(len(found.depends_on) for found in self.declared)


class _Servers(mocks.Mocks):
    """Every step does as it is told; but the engine leaves one out, and answers with what was asked before."""

    def __init__(self, finished: Mapping[str, Any] | None, left_out: str) -> None:
        self._finished = finished
        self._left_out = left_out

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        return {"availabilityZone": "eu-central-1a"}, []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        if args.typ == "pulumi:pulumi:StackReference":
            outputs = {} if self._finished is None else {"finished": dict(self._finished), "instances": INSTANCES}
            return args.name, {"name": args.name, "outputs": outputs, "secretOutputNames": []}
        facts = {"stdout": json.dumps({"phase": "played", "round": 0})} if args.typ in (COMMAND, LOCAL) else {}
        before = {"stdin": "{}"} if args.name == self._left_out and args.typ in (COMMAND, LOCAL) else {}
        return f"{args.name}-id", {**args.inputs, **facts, **before}


class _Monitor(mocks.MockMonitor):
    def __init__(self, servers: _Servers) -> None:
        super().__init__(servers)
        self.declared: list[Declared] = []

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """As the engine makes it: with the types of all parents but the stack."""
        if parent and "pulumi:pulumi:Stack::" not in parent:
            type_ = f"{parent.split('::')[2]}${type_}"
        return f"urn:pulumi:sim::pgleap::{type_}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol names it
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        inputs = rpc.deserialize_properties(request.object)
        opened = {key: _opened(value) for key, value in inputs.items()}
        secret = frozenset(key for key, value in inputs.items() if rpc.is_rpc_secret(value))
        depends_on = frozenset(request.dependencies)
        parent = "" if request.parent.endswith("::pgleap-sim") else request.parent
        if request.type != "pulumi:pulumi:Stack":
            options = Options(
                request.protect,
                request.retainOnDelete,
                request.deleteBeforeReplace,
                frozenset(request.ignoreChanges),
                request.provider.rpartition("::")[0],
                request.deletedWith,
            )
            found = Declared(request.type, request.name, response.urn, parent, opened, secret, depends_on, options)
            self.declared.append(found)
        return response


def _opened(value: Any) -> Any:
    if rpc.is_rpc_secret(value):
        return _opened(rpc.unwrap_rpc_secret(value))
    if isinstance(value, Mapping):
        return {key: _opened(inner) for key, inner in value.items()}
    return [_opened(inner) for inner in value] if isinstance(value, list) else value


class RefusedError(Exception):
    """The program ended with a message; `declared` is what it had registered by then."""

    def __init__(self, message: str, declared: list[Declared]) -> None:
        super().__init__(message)
        self.declared = declared


def _main() -> None:
    runpy.run_path(str(PROJECT / "__main__.py"))


def declare(
    raw: Mapping[str, Any],
    *,
    finished: Mapping[str, Any] | None = None,
    preview: bool = False,
    program: Callable[[], None] = _main,
    left_out: str = "",
    **more: Any,
) -> Program:
    """Run the project's __main__.py over a stack config and `more` values of it; `finished` is what the stack finished last.
    `program` is another one, to be run instead; `left_out` is a step that the engine is told to leave out.

    Raises RefusedError.
    """
    values = {**raw, **more}
    # The SDK takes the thread's own loop, and whoever ran one before may have taken it away.
    asyncio.set_event_loop(asyncio.new_event_loop())
    servers = _Servers(finished, left_out)
    monitor = _Monitor(servers)
    mocks.set_mocks(servers, project="pgleap", stack="sim", preview=preview, monitor=monitor)
    coded = {f"pgleap:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    set_all_config(coded, [f"pgleap:{key}" for key in SECRETS])
    # The SDK keeps one stack for all programs of a process, and the values that one which was refused never got: it would wait for them.
    SETTINGS.outputs.clear()
    stack = get_root_resource()
    assert isinstance(stack, Stack)
    stack.outputs.clear()
    # As the language host does: futures that nobody looks at after a refusal are no news.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        _sync_await(run_pulumi_func(program))
    except pulumi.RunError as refused:
        raise RefusedError(str(refused), monitor.declared) from None
    return Program(monitor.declared, values, dict(stack.outputs))
