"""What differs between two sets of property values, path by path, as the engine wants to be told."""

import re
from collections.abc import Iterator
from enum import Enum

from .values import Value, Values


class Kind(Enum):
    """What happened to a property."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


_PLAIN_NAME = re.compile(r"\A[A-Za-z0-9_]*\Z")


def changes(old: Values, new: Values) -> dict[str, Kind]:
    """Path -> kind of change; empty when nothing differs.

    Lists and objects are gone into; a secret is one value, so that what differs inside stays unsaid. Paths are
    written as the engine writes them: `triggers[0]`, `environment.PATH`, `environment["a-b"]`.
    """
    return dict(_object_changes((), old, new))


def _object_changes(path: tuple[str | int, ...], old: Values, new: Values) -> Iterator[tuple[str, Kind]]:
    for name in sorted(old.keys() | new.keys()):
        yield from _value_changes((*path, name), old.get(name), new.get(name))


def _value_changes(path: tuple[str | int, ...], old: Value, new: Value) -> Iterator[tuple[str, Kind]]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _object_changes(path, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            if index >= len(old):
                yield written((*path, index)), Kind.ADD
            elif index >= len(new):
                yield written((*path, index)), Kind.DELETE
            else:
                yield from _value_changes((*path, index), old[index], new[index])
    elif not _equal(old, new):
        kind = Kind.ADD if old is None else Kind.DELETE if new is None else Kind.UPDATE
        yield written(path), kind


def _equal(old: Value, new: Value) -> bool:
    """Equal, and of one type: Python holds True and 1.0 for equal, the engine does not."""
    return isinstance(old, bool) == isinstance(new, bool) and old == new


def written(path: tuple[str | int, ...]) -> str:
    """A property path as text."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not _PLAIN_NAME.match(part):
            text += '["' + part.replace('"', '\\"') + '"]'
        else:
            text += f".{part}" if text else part
    return text
