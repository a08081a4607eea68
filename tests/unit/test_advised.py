"""Whatever is advised is a command line: of the pages each is one that the model's operator types, or one that moves nothing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from agent import advice
from agent.states import Phase
from tests.model.advised import LINE, Command, lines
from tests.model.pages import PAGES, REPOSITORY, commands

# What is advised besides: it looks, or is about the stack, the agent's file, or what the stack's config says of the fleet. No phase, no round.
MOVES_NOTHING = (
    r"python -m scripts\.(status|preflight|forecast|watch|rehearsal|uninstall|host_key|drift)\b.*",
    r"python -m scripts\.window --dry-run",
    r"python -m rehearsal\.report\.watched .*",
    r"pulumi (cancel|destroy|login \S+|stack ls|stack output( \w+)?|config get round|preview --diff)",
    r"pulumi up --replace '.+' --replace '.+'",
    # Typed under the real engine: tests/components/test_recovery_commands.py and test_engine_options.py.
    r"pulumi (state repair|refresh --clear-pending-creates)",
    r"pulumi config set --path 'pgleap:preflight\.accept\..+",
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_advises_what_the_models_operator_can_type(page: Path) -> None:
    """A command that no test has ever typed is one that may be refused."""
    known = [one for one in commands(page) if LINE.fullmatch(one)]
    others = [one for one in commands(page) if not LINE.fullmatch(one)]
    assert len(known) >= 5
    assert [one for one in others if not any(re.fullmatch(pattern, one) for pattern in MOVES_NOTHING)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_goes_back_with_a_round(page: Path) -> None:
    """Without one the servers refuse it."""
    for line in (line for one in commands(page) for line in lines(one)):
        told = {
            key: value for command in line for key, value in [*command.settings, (command.key, command.value)] if key
        }
        if told.get("phase") == Phase.PREPARE.value:
            assert "round" in told, line


def test_no_refusal_advises_in_words_what_is_to_be_typed() -> None:
    """ "Raise the round" is typed wrongly by whoever is tired, and "then the same for prepare" not at all."""
    wrong = []
    for file in sorted((REPOSITORY / "agent").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("Refusal", "wait_until")
            ):
                said = " ".join(text(one) for one in node.args[2:])
                if re.search(r"raise the round|(run|in) phase \w+|with a higher round,|go back to \w+,", said):
                    wrong.append(f"{file.name}: {said}")
    assert wrong == []


def text(node: ast.expr) -> str:
    return " ".join(one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_what_is_advised_can_be_read_back() -> None:
    """What builds the commands and what types them in the model must mean the same."""
    up = Command("up")
    for said, line in (
        (advice.again(5), [Command("set", "round", "5"), up]),
        (advice.to(Phase.CUTOVER, 5), [Command("set", "phase", "cutover"), Command("set", "round", "5"), up]),
        (advice.give_up(Phase.PREPARE, 2)[:44], [Command("set", "acceptDataLoss", "true")]),
        ("pulumi config rm --path servers.db-a.lost", [Command("rm", "servers.db-a.lost")]),
        (
            "pulumi up --config phase=prepare --config round=2",
            [Command("up", settings=(("phase", "prepare"), ("round", "2")))],
        ),
        ("python -m scripts.window --back", [Command("window", back=True)]),
    ):
        assert lines(f"mend it, then: {said}; or not")[0] == line, said


def test_a_round_is_one_that_nobody_has_seen() -> None:
    """One that a server has seen is stale, and the advice with it."""
    assert advice.higher(3) == 4
    assert advice.higher(3, 7, 5) == 8
