"""What the SDK's own types say of AWS's resources: which inputs each takes, and which it must be given. The real provider checks so."""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin

from pulumi import Input, Output
from pulumi._types import input_type_py_to_pulumi_names, is_input_type
from pulumi._types import input_type_types as _property_types

from .values import Unknown, Value, plain


@dataclass(frozen=True)
class Inputs:
    """The inputs of a resource or of an object in one, by the names that the engine knows; `inside` leads to those of objects."""

    names: frozenset[str]
    required: frozenset[str]
    inside: Mapping[str, type]


def resource_inputs(token: str) -> Inputs:
    """The inputs of a resource, such as aws:ec2/instance:Instance. Raises LookupError if the SDK has none of that name."""
    package, module, name = token.split(":")
    if package != "aws":
        raise LookupError(token)
    try:
        found = importlib.import_module(f"pulumi_aws.{module}".replace("/", ".").rpartition(".")[0])
        return _inputs(getattr(found, f"{name}Args"))
    except (ImportError, AttributeError) as missing:
        raise LookupError(token) from missing


def mistakes(given: Mapping[str, Value], wanted: Inputs, path: str = "") -> Iterator[str]:
    """Every input that is missing or unknown, objects gone into, each beginning with its path."""
    for name in sorted(wanted.required - given.keys()):
        yield f"{path}{name}: missing"
    for name, value in given.items():
        if name not in wanted.names:
            yield f"{path}{name}: unknown"
            continue
        inside = wanted.inside.get(name)
        opened = plain(value)
        if inside is None or isinstance(opened, Unknown):
            continue
        for item in opened if isinstance(opened, list) else [opened]:
            if isinstance(item, dict):
                yield from mistakes(item, _inputs(inside), f"{path}{name}.")


@cache
def _inputs(arguments: type) -> Inputs:
    names = input_type_py_to_pulumi_names(arguments)
    required = {
        names[name]
        for name, parameter in inspect.signature(arguments).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    objects = {name: _object(type_) for name, type_ in _property_types(arguments).items()}
    inside = {names.get(name, name): found for name, found in objects.items() if found is not None}
    return Inputs(frozenset(names.values()), frozenset(required), inside)


def _object(type_: Any) -> type | None:
    """The class of an object's inputs in a type such as Input[Optional[Sequence[Input[X]]]]."""
    if isinstance(type_, type) and is_input_type(type_):
        return type_
    if get_origin(type_) in (Union, types.UnionType, Input, Output) or get_args(type_):
        return next((found for found in map(_object, get_args(type_)) if found), None)
    return None
