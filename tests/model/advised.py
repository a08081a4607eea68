"""The commands that a text advises, as they are typed: what an operator copies from a refusal, from `status` or from a page."""

from __future__ import annotations

import re
from dataclasses import dataclass

KEY = r"(?:--path )?'?(?:pgleap:)?[\w.-]+'?"
OPTIONS = r"(?: --config \w+=\w+| --yes| --skip-preview| --diff)*"
# What the model's operator can type; `up` and `preview` take what is set for one run besides.
COMMAND = re.compile(
    rf"pulumi config set (?P<set>{KEY}) (?P<value>[\w-]+)|pulumi config rm (?P<rm>{KEY})|pulumi (?P<run>up|preview)(?P<options>{OPTIONS})"
    r"|python -m scripts\.window(?P<back> --back)?"
)
LINE = re.compile(
    rf"(?:{re.sub(r'[?]P<[a-z]+>', '?:', COMMAND.pattern)})(?: && (?:{re.sub(r'[?]P<[a-z]+>', '?:', COMMAND.pattern)}))*"
)


@dataclass(frozen=True)
class Command:
    """`what` is set, rm, up, preview or window. `settings` are those of `--config`; `back` is the window's option."""

    what: str
    key: str = ""
    value: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    back: bool = False


def lines(text: str) -> list[list[Command]]:
    """Each command line in a text: those joined by `&&` are one. Pure."""
    return [[read(one) for one in COMMAND.finditer(found[0])] for found in LINE.finditer(text)]


def read(found: re.Match[str]) -> Command:
    if found["set"]:
        return Command("set", plain(found["set"]), found["value"])
    if found["rm"]:
        return Command("rm", plain(found["rm"]))
    if found["run"]:
        given = re.findall(r"--config (\w+)=(\w+)", found["options"])
        return Command(found["run"], settings=tuple(given))
    return Command("window", back=bool(found["back"]))


def plain(key: str) -> str:
    """A key without quotes, namespace and `--path`."""
    return key.removeprefix("--path ").strip("'").removeprefix("pgleap:")


def to_do(said: str) -> list[list[Command]]:
    """The command lines that a refusal advises, or the program in a preview. Pure."""
    return lines(said.partition("To do: ")[2])
