"""Mistakes in the stack config, in the words of whoever has to mend them: the path as it is typed, what is wrong, what to give. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from components.config_fields import shown

NAMESPACE = "pgleap"
# What pydantic's types of error mean, where its own words do not say it to somebody who writes YAML.
KINDS = {
    "string_type": "text",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "path_type": "a path",
    "tuple_type": "a list",
    "dict_type": "a map of keys and values",
    "model_type": "a map of keys and values",
    "model_attributes_type": "a map of keys and values",
}


class SettingsError(Exception):
    """The stack config cannot be used. `mistakes` holds one line each, beginning with the config path."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(dict.fromkeys(mistakes))
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        lines = "\n".join(f"  {mistake}" for mistake in self.mistakes)
        super().__init__(
            f"the stack's configuration has {count}; nothing was touched.\n{lines}\n"
            "To do: mend them in Pulumi.<stack>.yaml (Pulumi.prod.yaml is a complete example), then run `pulumi preview`."
        )

    @classmethod
    def nothing_configured(cls) -> SettingsError:
        """The whole config is missing: the first commands to type."""
        error = cls(())
        first_commands = (
            "this stack has no configuration yet; nothing was touched.\n"
            "To do: describe your servers, as Pulumi.prod.yaml does, in Pulumi.<stack>.yaml. Then type:\n"
            "  pulumi config set phase prepare\n"
            "  pulumi config set round 1\n"
            "  pulumi config set --secret password\n"
            "  pulumi preview"
        )
        error.args = (first_commands,)
        return error


def config_path(*parts: str | int) -> str:
    """The path as `pulumi config set --path` takes it: pgleap:servers.db2.address, pgleap:names["db1.internal.ln"]."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", part):
            path += f".{part}"
        else:
            path += f'["{part}"]'
    return f"{NAMESPACE}:{path.removeprefix('.')}"


def missing_key(key: str) -> str:
    """The mistake of a required secret that is not there."""
    return f"{config_path(key)}: missing; type `pulumi config set --secret {key}`"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "..."?`, or nothing if no known word is close."""
    by_small_letters = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_small_letters, n=1)
    return f"; did you mean {shown(by_small_letters[close[0]])}?" if close else ""


def rephrased(error: ErrorDetails, model: type[BaseModel]) -> str:
    """One of pydantic's errors about what `model` was made from, as a line for the person who wrote it."""
    location = [part for part in error["loc"] if part != "[key]"]
    return f"{config_path(*location)}: {_sentence(error, model, location)}"


def _sentence(error: ErrorDetails, model: type[BaseModel], location: Sequence[str | int]) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        # The value stays unsaid: a mistyped `password` must not show what it is.
        return _unknown_key(str(location[-1]), _model_at(model, location[:-1]))
    if kind == "missing":
        sentence = f"missing; give {_field(model, location).description or 'it'}"
    elif kind == "value_error":
        sentence = str(context["error"])
    elif kind in ("enum", "literal_error"):
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        listed = (
            f"not one of {', '.join(choices)}" if len(choices) > 1 else f"not {choices[0]}, all that can stand here"
        )
        sentence = f"{shown(value)} is {listed}{did_you_mean(str(value), choices)}"
    elif kind == "greater_than_equal":
        sentence = f"{shown(value)} is too small; give a whole number from {context['ge']} on"
    elif kind in KINDS:
        sentence = f"{shown(value)} is not {KINDS[kind]}"
    else:
        sentence = f"{shown(value)}: {error['msg']}"
    return sentence


def _unknown_key(key: str, model: type[BaseModel]) -> str:
    known = [name for name in _keys(model) if name != "name"]
    listed = ", ".join(known)
    return f"unknown key{did_you_mean(key, known) or f'; the keys here are {listed}'}"


def _keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _field(model: type[BaseModel], location: Sequence[str | int]) -> FieldInfo:
    return _keys(_model_at(model, location[:-1]))[str(location[-1])]


def _model_at(model: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel]:
    """The model that the keys below `location` belong to; a map's keys (servers' names) are passed over."""
    for part in location:
        field = _keys(model).get(str(part))
        below = None if field is None else _model_in(field.annotation)
        model = below or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field's type holds, be it in an Optional or a dict."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found), None)
