"""The engine's property values: as they travel over gRPC, and as plain Python trees."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from google.protobuf import struct_pb2
from pulumi.runtime import rpc

SIGNATURE = rpc._special_sig_key
_SECRET = rpc._special_secret_sig
_OUTPUT = rpc._special_output_value_sig
_ASSET = rpc._special_asset_sig
_ARCHIVE = rpc._special_archive_sig

_UNKNOWNS = frozenset(
    {
        rpc.UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
"""What stands for a value that is not known during a preview; the SDK names only the first of them."""


@dataclass(frozen=True)
class Secret:
    """A value that is never shown."""

    value: "Value"


@dataclass(frozen=True)
class Unknown:
    """A value that is not known during a preview."""

    sentinel: str = field(default=rpc.UNKNOWN, compare=False)


@dataclass(frozen=True)
class Asset:
    """A file or a text (`archive` false), or a folder or an archive (`archive` true).

    The engine always gives the hash of the content; the path or text only where the content is needed.
    """

    archive: bool
    hash: str
    path: str = field(default="", compare=False)
    text: str = field(default="", compare=False)
    uri: str = field(default="", compare=False)
    assets: "Values" = field(default_factory=dict, compare=False)

    @property
    def is_text(self) -> bool:
        """Whether its content is the text; that of an empty one is told by its hash."""
        if self.archive or self.path or self.uri:
            return False
        return bool(self.text) or self.hash in ("", hashlib.sha256().hexdigest())


Value: TypeAlias = bool | float | str | list["Value"] | dict[str, "Value"] | Secret | Unknown | Asset | None
Values: TypeAlias = dict[str, Value]


def decode(struct: struct_pb2.Struct) -> Values:
    """What the engine sent. Nulls are left out, as the real plugins do."""
    return {name: _decode(value) for name, value in struct.fields.items() if value.WhichOneof("kind") != "null_value"}


def _decode(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "number_value":
            return value.number_value
        case "string_value":
            text = value.string_value
            return Unknown(text) if text in _UNKNOWNS else text
        case "list_value":
            return [_decode(item) for item in value.list_value.values]
        case "struct_value":
            return _decode_struct(decode(value.struct_value))
        case _:
            return None


def _decode_struct(fields: Values) -> Value:
    signature = fields.get(SIGNATURE)
    if signature == _SECRET:
        return secret(fields.get("value"))
    if signature == _OUTPUT:
        inner = fields.get("value", Unknown())
        return secret(inner) if fields.get("secret") else inner
    if signature in (_ASSET, _ARCHIVE):
        return _decode_asset(fields, archive=signature == _ARCHIVE)
    return fields


def _decode_asset(fields: Values, archive: bool) -> Asset:
    def text(name: str) -> str:
        found = fields.get(name)
        return found if isinstance(found, str) else ""

    assets = fields.get("assets")
    inside = assets if isinstance(assets, dict) else {}
    return Asset(archive, text("hash"), text("path"), text("text"), text("uri"), inside)


def encode(values: Mapping[str, Value]) -> struct_pb2.Struct:
    """What the engine is sent; the reverse of `decode`."""
    return struct_pb2.Struct(fields={name: _encode(value) for name, value in values.items() if value is not None})


def _encode(value: Value) -> struct_pb2.Value:
    match value:
        case None:
            wire = struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            wire = struct_pb2.Value(bool_value=value)
        case int() | float():
            wire = struct_pb2.Value(number_value=value)
        case str():
            wire = struct_pb2.Value(string_value=value)
        case list():
            wire = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_encode(item) for item in value]))
        case dict():
            wire = struct_pb2.Value(struct_value=encode(value))
        case Unknown():
            wire = struct_pb2.Value(string_value=value.sentinel)
        case Secret(Unknown()):
            wire = _signed(_OUTPUT, secret=True)
        case Secret():
            wire = _signed(_SECRET, value=value.value)
        case Asset():
            content: Values = {"hash": value.hash, "path": value.path, "uri": value.uri}
            if value.archive:
                wire = _signed(_ARCHIVE, **content, assets=value.assets)
            else:
                wire = _signed(_ASSET, **content, text=value.text)
    return wire


def _signed(signature: str, **fields: Value) -> struct_pb2.Value:
    return struct_pb2.Value(struct_value=encode({SIGNATURE: signature, **fields}))


def secret(value: Value) -> Secret:
    """`value`, never to be shown."""
    return value if isinstance(value, Secret) else Secret(value)


def plain(value: Value) -> Value:
    """`value` with every secret opened, at any depth: for use, never to be sent or printed."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def is_unknown(value: Value) -> bool:
    """Whether the value itself (not something inside it) is not known."""
    return isinstance(value.value if isinstance(value, Secret) else value, Unknown)
