"""YAML with comments, which no dumper writes: a document is a list of lines, each a key, its value, and why it is so. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import yaml

WIDTH = 120
Block: TypeAlias = "Sequence[Line]"
Scalar: TypeAlias = str | int | bool | Sequence[str]


@dataclass(frozen=True)
class Unknown:
    """A value that could not be found out; its line stays a comment, in the shape that it is to get."""

    shape: str


@dataclass(frozen=True)
class Line:
    """`value` is a block if it holds lines. `why` becomes a comment above."""

    key: str
    value: Scalar | Unknown | Block
    why: str = ""

    @property
    def block(self) -> Block:
        """The lines below this one, if that is what its value is."""
        value = self.value
        return [line for line in value if isinstance(line, Line)] if isinstance(value, list | tuple) else []

    @property
    def known(self) -> bool:
        """Whether there is anything to read but comments."""
        return any(line.known for line in self.block) if self.block else not isinstance(self.value, Unknown)


def document(lines: Block) -> str:
    return "".join(f"{line}\n" for line in _written(lines, ""))


def _written(lines: Block, indent: str) -> Iterator[str]:
    for line in lines:
        for row in textwrap.wrap(_printable(line.why), WIDTH - len(indent) - 2):
            yield f"{indent}# {row}"
        # A key with nothing but comments below would be read as null.
        start = indent if line.known else f"{indent}# "
        if line.block:
            yield f"{start}{line.key}:"
            yield from _written(line.block, indent + "  ")
        elif isinstance(line.value, Unknown):
            yield f"{start}{line.key}: {line.value.shape}"
        else:
            yield f"{start}{_flow(line.key)}: {_flow(line.value)}"


def _flow(value: object) -> str:
    """On one line, quoted where YAML would take it for something else, or would break the line: line ends, and U+0085 is one."""
    listed = list(value) if isinstance(value, tuple) else value
    plain = all(str(word).isprintable() for word in (listed if isinstance(listed, list) else [listed]))
    style = None if plain else '"'
    text: str = yaml.safe_dump(
        listed, default_flow_style=True, default_style=style, width=float("inf"), allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _printable(text: str) -> str:
    """A tag is anybody's text: a line end in it must not end the comment."""
    return "".join(character if character.isprintable() else " " for character in text)
