"""What the command plugin's resources take: their properties, defaults, and which of them are secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from .values import Asset, Secret, Unknown, Value, Values, plain, secret


@dataclass(frozen=True)
class Property:
    """One input. `kind` and `of` are its type and an object's name as the real plugin's messages say them."""

    kind: str
    required: bool = False
    secret: bool = False
    default: Value = None
    inner: Mapping[str, "Property"] | None = None
    of: str = ""


_TEXTS = "map[string]string"
_SOURCE = "types.AssetOrArchive"
_PYTHON_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "float64": (int, float),
    "int": (int, float),
    "bool": bool,
    "[]interface {}": list,
    "[]string": list,
    _TEXTS: dict,
}
_GO_TYPES: Mapping[type, str] = {
    str: "string",
    float: "float64",
    bool: "bool",
    list: "[]interface {}",
    dict: "map[string]interface {}",
    Asset: _SOURCE,
}

_STRING = Property("string")
_LIST = Property("[]interface {}")
_HOST = {
    "user": Property("string", default="root"),
    "password": Property("string", secret=True),
    "host": Property("string", required=True),
    "port": Property("float64", default=22.0),
    "privateKey": Property("string", secret=True),
    "privateKeyPassword": Property("string", secret=True),
    "agentSocketPath": _STRING,
    "dialErrorLimit": Property("int", default=10.0),
    "perDialTimeout": Property("int", default=15.0),
    "hostKey": _STRING,
}


def _object(of: str, inner: Mapping[str, Property], required: bool = False, secret: bool = False) -> Property:
    return Property(of, required, secret, inner=inner, of=of)


_PROXY = _object("remote.ProxyConnection", _HOST)
_CONNECTION = _object("remote.Connection", {**_HOST, "proxy": _PROXY}, required=True, secret=True)
_COMMAND = {
    "create": _STRING,
    "update": _STRING,
    "delete": _STRING,
    "triggers": _LIST,
    "stdin": _STRING,
    "logging": _STRING,
    "environment": Property(_TEXTS),
    "addPreviousOutputInEnv": Property("bool"),
}

REMOTE_COMMAND = "command:remote:Command"
LOCAL_COMMAND = "command:local:Command"
COPY_TO_REMOTE = "command:remote:CopyToRemote"

RESOURCES: Mapping[str, Property] = {
    REMOTE_COMMAND: _object("remote.CommandInputs", {**_COMMAND, "connection": _CONNECTION}),
    LOCAL_COMMAND: _object(
        "local.CommandInputs",
        {
            **_COMMAND,
            "interpreter": Property("[]string"),
            "dir": _STRING,
            "assetPaths": Property("[]string"),
            "archivePaths": Property("[]string"),
        },
    ),
    COPY_TO_REMOTE: _object(
        "remote.CopyToRemoteInputs",
        {
            "connection": _CONNECTION,
            "triggers": _LIST,
            "source": Property(_SOURCE, required=True),
            "remotePath": Property("string", required=True),
        },
    ),
}

REPLACED_BY = frozenset({"triggers"})
"""A change of these as a whole (added, taken away) replaces; for one inside, the SDK tells the engine to."""


@dataclass(frozen=True)
class Failure:
    """An input that does not fit, and why."""

    property: str
    reason: str


def check(token: str, given: Values) -> tuple[Values, list[Failure]]:
    """The inputs with defaults filled in and secrets marked; and what is wrong with them.

    Raises KeyError if there is no such type.
    """
    resource = RESOURCES[token]
    failures = _mistakes(given, resource)
    if failures:
        inputs = _mark(given, resource)
    else:
        inputs = _mark(_fill(cast("Values", _known(given, resource)), resource), resource)
    if token == COPY_TO_REMOTE:
        failures += _source_mistakes(plain(given.get("source")))
    return inputs, failures


def _zero(wanted: Property | None) -> Value:
    """What the real plugin makes of a secret that is not known: it loses that, and keeps an empty secret."""
    if wanted is not None and wanted.inner is not None:
        required = {name: _zero(inner) for name, inner in wanted.inner.items() if inner.required}
        return _fill(required, wanted)
    return "" if wanted is not None and wanted.kind == "string" else None


def _known(value: Value, wanted: Property | None) -> Value:
    """`value` without secrets that are not known, at any depth."""
    if isinstance(value, Secret):
        return Secret(_zero(wanted) if isinstance(value.value, Unknown) else _known(value.value, wanted))
    if isinstance(value, list):
        return [_known(item, None) for item in value]
    if isinstance(value, dict):
        inner = (wanted.inner if wanted is not None else None) or {}
        texts = _STRING if wanted is not None and wanted.kind == _TEXTS else None
        return {name: _known(item, inner.get(name, texts)) for name, item in value.items()}
    return value


def _source_mistakes(source: Value) -> list[Failure]:
    """A source that is not known yet is refused too, even in a preview; so it is by the real plugin."""
    if not isinstance(source, Asset):
        return [Failure("asset", "either asset or archive must be set")]
    if source.archive and not source.path:
        return [Failure("archive", "archive must be a path to a file or directory")]
    if not source.archive and not source.path and not source.is_text:
        return [Failure("asset", "asset must be a path-based file asset or a text asset")]
    return []


def _open(value: Value) -> Value:
    return value.value if isinstance(value, Secret) else value


def _mistakes(given: Values, owner: Property) -> list[Failure]:
    inner = owner.inner or {}
    failures = [
        Failure(name, f"Missing required field '{name}' on '{owner.of}'")
        for name, wanted in inner.items()
        if wanted.required and given.get(name) is None
    ]
    for name, value in given.items():
        wanted, found = inner.get(name), _open(value)
        if wanted is None:
            failures.append(Failure(name, f"Unrecognized field '{name}' on '{owner.of}'"))
        elif isinstance(found, Unknown) or wanted.kind == _SOURCE:
            continue
        elif wanted.inner is not None and isinstance(found, dict):
            failures += _nested(f"{owner.of.rpartition('.')[2]}.{name}", name, _mistakes(found, wanted))
        elif wanted.inner is not None or not _fits(found, wanted.kind):
            failures.append(_wrong_type(name, owner, wanted.kind, found))
        elif wanted.kind == _TEXTS and isinstance(found, dict):
            failures += [
                _wrong_type(f"{name}[{key}] value", owner, "string", _open(text))
                for key, text in found.items()
                if not isinstance(_open(text), str | Unknown)
            ]
    return failures


def _wrong_type(name: str, owner: Property, wanted: str, found: Value) -> Failure:
    got = _GO_TYPES.get(type(found), type(found).__name__)
    return Failure(name, f"Field '{name}' on '{owner.of}' must be a '{wanted}'; got '{got}' instead")


def _nested(place: str, name: str, failures: list[Failure]) -> list[Failure]:
    """What is wrong inside an object is told as one failure of the object."""
    if not failures:
        return []
    listed = "".join(f"\n\t{found.property}: {found.reason}" for found in failures)
    return [Failure(name, f"An error occurred decoding '{place}': {len(failures)} failures decoding:{listed}")]


def _fits(value: Value, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "bool"
    return isinstance(value, _PYTHON_TYPES[kind])


def _fill(given: Values, owner: Property) -> Values:
    """`given` with every default that is missing and whole numbers made whole, also inside objects."""
    filled: Values = dict(given)
    for name, wanted in (owner.inner or {}).items():
        value = filled.get(name)
        if value is None and wanted.default is not None:
            filled[name] = wanted.default
        elif wanted.kind == "int" and isinstance(value, float):
            filled[name] = float(int(value))
        elif wanted.inner is not None and isinstance(_open(value), dict):
            object_ = _fill(cast("Values", _open(value)), wanted)
            filled[name] = Secret(object_) if isinstance(value, Secret) else object_
    return filled


def _mark(given: Values, owner: Property) -> Values:
    """`given` with every secret property marked as one, also inside objects."""
    marked: Values = dict(given)
    for name, value in given.items():
        wanted = (owner.inner or {}).get(name)
        if wanted is None:
            continue
        if wanted.inner is not None and isinstance(_open(value), dict):
            object_ = _mark(cast("Values", _open(value)), wanted)
            marked[name] = Secret(object_) if isinstance(value, Secret) else object_
        if wanted.secret:
            marked[name] = secret(marked[name])
    return marked
