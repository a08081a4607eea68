"""The stand-in plugin as the engine sees it, and small projects under the real engine."""

import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from rehearsal.engine.engine import ensure
from rehearsal.engine.project import Pulumi
from rehearsal.plugins.inputs import REMOTE_COMMAND
from rehearsal.plugins.serve import Wanted, serving
from rehearsal.plugins.values import Values, decode, encode
from tests.plugins.simulated import HeardEngine, Servers

URN = "urn:pulumi:stack::project::"


@dataclass(frozen=True)
class Plugin:
    """The stand-in command plugin, spoken to as the engine does; values are plain trees on both sides."""

    stub: provider_pb2_grpc.ResourceProviderStub
    servers: Servers
    engine: HeardEngine

    def check(self, inputs: Values, token: str = REMOTE_COMMAND) -> tuple[Values, list[str]]:
        response = self.stub.Check(provider_pb2.CheckRequest(urn=f"{URN}{token}::step", news=encode(inputs)))
        return decode(response.inputs), [f"{found.property}: {found.reason}" for found in response.failures]

    def diff(self, old: Values, new: Values, token: str = REMOTE_COMMAND) -> provider_pb2.DiffResponse:
        request = provider_pb2.DiffRequest(
            id="step1", urn=f"{URN}{token}::step", old_inputs=encode(old), olds=encode(old), news=encode(new)
        )
        response: provider_pb2.DiffResponse = self.stub.Diff(request)
        return response

    def create(self, inputs: Values, token: str = REMOTE_COMMAND, preview: bool = False) -> Values:
        request = provider_pb2.CreateRequest(urn=f"{URN}{token}::step", properties=encode(inputs), preview=preview)
        return decode(self.stub.Create(request).properties)

    def update(self, state: Values, inputs: Values, token: str = REMOTE_COMMAND, preview: bool = False) -> Values:
        request = provider_pb2.UpdateRequest(
            id="step1", urn=f"{URN}{token}::step", olds=encode(state), news=encode(inputs), preview=preview
        )
        return decode(self.stub.Update(request).properties)

    def delete(self, state: Values, token: str = REMOTE_COMMAND) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(id="step1", urn=f"{URN}{token}::step", properties=encode(state)))


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
def plugin(servers: Servers) -> Iterator[Plugin]:
    engine = HeardEngine()
    with serving(servers, Wanted(language=False)) as variables:
        address = variables["PULUMI_DEBUG_PROVIDERS"].removeprefix("command:")
        with grpc.insecure_channel(f"127.0.0.1:{address}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            stub.Attach(plugin_pb2.PluginAttach(address=engine.address))
            yield Plugin(stub, servers, engine)
    engine.close()


@pytest.fixture(scope="session")
def engine() -> Path:
    """The folder of the real engine. Where there is none it is made, which takes minutes once."""
    return ensure(print)


Project = Callable[[str], Pulumi]

_BEGINNING = """
import json, pulumi
from pulumi_command import local, remote
config = pulumi.Config()
def step(name, stdin, host="server1", after=(), **more):
    return remote.Command(
        name, connection=remote.ConnectionArgs(host=host, user="deploy", host_key="ssh-ed25519 AAAA"),
        create="agent", update="agent", stdin=stdin if isinstance(stdin, (str, pulumi.Output)) else json.dumps(stdin),
        logging="stderr", add_previous_output_in_env=False, opts=pulumi.ResourceOptions(depends_on=list(after)), **more,
    )
"""


@pytest.fixture
def project(engine: Path, servers: Servers, tmp_path: Path) -> Iterator[Project]:
    """Makes a project whose program is a beginning (see above) and the given lines; its stack is there already."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
    with serving(servers) as variables:
        stack = Pulumi(engine, folder, tmp_path / "home", tmp_path / "state", "test", "passphrase", variables)

        def made(program: str) -> Pulumi:
            write_program(stack, program)
            stack.init()
            return stack

        yield made


def write_program(stack: Pulumi, program: str) -> None:
    """Replaces the lines after the beginning."""
    (stack.project / "__main__.py").write_text(_BEGINNING + textwrap.dedent(program))


def recorded(stack: Pulumi, name: str) -> dict[str, Any] | None:
    """The resource `name` as the state has it."""
    found = [resource for resource in stack.resources() if resource["urn"].endswith(f"::{name}")]
    return found[0] if found else None


def state_text(stack: Pulumi) -> str:
    """Everything that the backend holds, as one text: where a secret must not be."""
    return json.dumps([file.read_text(errors="replace") for file in sorted(stack.backend.rglob("*")) if file.is_file()])
