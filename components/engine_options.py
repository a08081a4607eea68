"""Whether the engine was told to leave steps out. Pure; components/ancestors.py reads what this judges.

To leave steps out does no harm on the servers, for what comes after such a step does not run (components/step.py). But the engine's own
state may break: for a step that it leaves out pulumi 3.250 writes down at once whatever the step depended on last time (pkg/resource/deploy,
step_generator.go, `getDependencySteps`). What is declared later is a "Duplicate resource URN" then, and what was still under way at that
moment comes after what depends on it, which the next `up` refuses to read ("snapshot integrity error").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from agent.advice import UP

ENGINE = "pulumi"
LANGUAGE_HOST = "pulumi-language-python"
LEAVE_OUT = ("target", "target-dependents", "target-replace", "exclude", "exclude-dependents")
_SHORT = {"t": "-t", "x": "-x"}
# Those of the engine's options that are followed by a word of their own, which may begin with a dash (`pulumi up --help`, 3.250).
_SHORT_WITH_A_WORD = frozenset("Ccmpsvtx")
_WITH_A_WORD = frozenset(
    (
        *("config", "config-file", "message", "stack", "cwd", "parallel", "verbose", "color", "tracing", "profiling"),
        *("save-plan", "plan", "import-file", "client", "replace", "target", "target-replace", "exclude", "event-log"),
        *("policy-pack", "policy-pack-config", "secrets-provider", "output", "exec-kind", "exec-agent", "otel-traces"),
    )
)


class LeftOutError(Exception):
    """The engine was told to leave steps out; the message says what was expected, what was found and what to do."""


def check_whole(ancestors: Sequence[Sequence[str]], environment: Mapping[str, str]) -> None:
    """Raises LeftOutError if the engine among these ancestors, the nearest first, each by its arguments, or this environment leaves
    steps out. Where no engine is among them (the program is served by one that it started) there is nothing to see, and that is all right."""
    named = left_out_by(engine(ancestors))
    variables = [variable for variable in map(_variable, LEAVE_OUT) if _is_set(environment.get(variable, ""))]
    if not named and not variables:
        return
    first = "".join(f"unset {variable} && " for variable in variables)
    raise LeftOutError(
        f"Expected: pulumi to be told of every step. Found: {', '.join([*named, *variables])}, which leaves steps out. Nothing was begun.\n"
        f"To do: {first}{UP}, without {'it' if len(named) + len(variables) == 1 else 'them'}"
    )


def engine(ancestors: Sequence[Sequence[str]]) -> Sequence[str]:
    """The arguments of the nearest engine, its own name among them; empty if there is none."""
    child = ""
    for arguments in ancestors:
        name = _name(arguments)
        if name == ENGINE or child == LANGUAGE_HOST:
            return arguments
        child = name
    return ()


def left_out_by(arguments: Sequence[str]) -> list[str]:
    """The options among an engine's arguments that leave steps out, as they were typed, each once. What follows `pulumi env` is
    another program's."""
    found: dict[str, None] = {}
    words = iter(arguments[1:])
    for word in words:
        if word in {"--", "env"}:
            break
        if word.startswith("--"):
            option, given, _ = word[2:].partition("=")
            if option in LEAVE_OUT:
                found[f"--{option}"] = None
            if not given and option in _WITH_A_WORD:
                next(words, None)
        elif word.startswith("-"):
            letters, ended = _short(word[1:])
            found.update((_SHORT[letter], None) for letter in letters if letter in _SHORT)
            if not ended:
                next(words, None)
    return list(found)


def _short(word: str) -> tuple[str, bool]:
    """The options of one letter in a word, and whether what the last one takes, if it takes a word, stands in this very word."""
    letters = ""
    for position, letter in enumerate(word):
        if letter == "=":
            break
        letters += letter
        if letter in _SHORT_WITH_A_WORD:
            return letters, position + 1 < len(word)
    return letters, True


def _name(arguments: Sequence[str]) -> str:
    """A program's name. Some packages wrap it, as `.pulumi-wrapped`."""
    name = PurePosixPath(arguments[0]).name if arguments else ""
    return name.removeprefix(".").removesuffix("-wrapped")


def _variable(option: str) -> str:
    """The variable by which the engine takes an option as well (cmd/pulumi/pulumi.go, `declareFlagsAsEnvironmentVariables`)."""
    return f"PULUMI_OPTION_{option.replace('-', '_').upper()}"


def _is_set(value: str) -> bool:
    return value.lower() not in {"", "0", "false"}
