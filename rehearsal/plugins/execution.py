"""Does what a resource of the command plugin asks for, and says how it failed as the real plugin says it."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pulumi.runtime.proto import engine_pb2

from .engines import Log
from .output import LineTooLongError, Output
from .transport import Connection, LocalRun, Transport, TransportError
from .values import Asset, Value, Values, plain

PREVIOUS_STDOUT = "PULUMI_COMMAND_STDOUT"
PREVIOUS_STDERR = "PULUMI_COMMAND_STDERR"

_REFUSED_VARIABLE = "Unable to set '{}': the server's sshd does not accept it from a client (AcceptEnv)"


class ExecutionError(Exception):
    """A command or a copy failed; the message is what the engine shows."""


@dataclass(frozen=True)
class Caller:
    """For which resource of which engine something is done; `folder` is where relative paths start."""

    urn: str
    log: Log | None
    folder: Path


async def run_remote(transport: Transport, caller: Caller, command: str, state: Values) -> Values:
    """The outputs of `command` on the server that `state` names. `state`: inputs and the outputs before, opened."""
    variables = _texts(state.get("environment"))
    for name in variables:
        if not transport.accepts(name):
            await _warn(caller, name, engine_pb2.ERROR)
            raise ExecutionError(f'could not set environment variable "{name}": ssh: setenv failed')
    for name, value in _previous(state).items():
        if transport.accepts(name):
            variables[name] = value
        else:
            await _warn(caller, name, engine_pb2.WARNING)
    output = Output(caller.log, caller.urn, _text(state.get("logging")))
    try:
        connection = Connection.read(state.get("connection"))
        result = await transport.run(connection, command, _text(state.get("stdin")) or "", variables, output)
    except TransportError as error:
        await output.close()
        raise ExecutionError(str(error)) from error
    except BaseException:
        output.abandon()
        raise
    return await _finish(output, command, "" if result.exit == 0 and not result.signal else str(result))


async def run_local(transport: Transport, caller: Caller, command: str, state: Values) -> Values:
    """The outputs of `command` on this machine; `state` as for `run_remote`."""
    output = Output(caller.log, caller.urn, _text(state.get("logging")))
    interpreter = [str(word) for word in cast("list[Value]", state.get("interpreter") or [])]
    variables = {**_texts(state.get("environment")), **_previous(state)}
    folder = caller.folder / (_text(state.get("dir")) or "")
    run = LocalRun(command, interpreter, folder, _text(state.get("stdin")) or "", variables)
    try:
        failed = await transport.run_here(run, output)
    except BaseException:
        output.abandon()
        raise
    return await _finish(output, command, failed)


async def copy(transport: Transport, caller: Caller, inputs: Values) -> None:
    """Copies the source that `inputs` name to the server that they name."""
    source, remote_path = inputs.get("source"), _text(inputs.get("remotePath")) or ""
    if not isinstance(source, Asset):
        raise ExecutionError("expected `source` to be an asset or an archive that is known, found none")
    content: bytes | str
    if not source.path:
        content = source.text.encode()
    else:
        # By hand, because a path object would lose the slash at the end.
        content = source.path if source.path.startswith("/") else f"{caller.folder}/{source.path}"
    connection = Connection.read(inputs.get("connection"))
    if caller.log is not None:
        origin = "text asset" if isinstance(content, bytes) else f"local file {content}"
        said = f"Creating file: {connection.host}:{remote_path} from {origin}"
        await caller.log.write(said, caller.urn, engine_pb2.DEBUG)
    output = Output(caller.log, caller.urn, None)
    try:
        await transport.copy(connection, content, remote_path, output)
    except TransportError as error:
        await output.close()
        raise ExecutionError(str(error)) from error
    except BaseException:
        output.abandon()
        raise
    await output.close()


async def _finish(output: Output, command: str, failed: str) -> Values:
    try:
        stdout, stderr, both = await output.close()
    except LineTooLongError as error:
        raise ExecutionError(str(error)) from error
    if failed:
        raise ExecutionError(f"{failed}: running {_quoted(command)}:\n{both.decode(errors='replace')}")
    try:
        return {"stdout": stdout.decode().removesuffix("\n"), "stderr": stderr.decode().removesuffix("\n")}
    except UnicodeDecodeError as error:
        # It ran all the same; so it is with the real plugin.
        raise ExecutionError("grpc: error while marshaling: string field contains invalid UTF-8") from error


async def _warn(caller: Caller, variable: str, severity: engine_pb2.LogSeverity.ValueType) -> None:
    if caller.log is not None:
        await caller.log.write(_REFUSED_VARIABLE.format(variable), caller.urn, severity)


def _previous(state: Values) -> dict[str, str]:
    if state.get("addPreviousOutputInEnv") is False:
        return {}
    texts = {PREVIOUS_STDOUT: _text(state.get("stdout")), PREVIOUS_STDERR: _text(state.get("stderr"))}
    return {name: text for name, text in texts.items() if text}


def _text(value: Value) -> str | None:
    value = plain(value)
    return value if isinstance(value, str) else None


def _texts(value: Value) -> dict[str, str]:
    value = plain(value)
    return {name: str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def _quoted(command: str) -> str:
    """As Go's %q writes it."""
    named = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", '"': '"', "\\": "\\"}
    text = ""
    for letter in command:
        code = ord(letter)
        if letter in named:
            text += "\\" + named[letter]
        elif letter.isprintable():
            text += letter
        else:
            text += f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return f'"{text}"'
