"""What the rooms of the house may know of each other, and of the world."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("agent", "components", "scripts")
PRODUCT = sorted(
    file
    for room in (*ROOMS, "__main__.py")
    for file in ([REPOSITORY / room] if room.endswith(".py") else (REPOSITORY / room).rglob("*.py"))
    if file.is_file()
)
AGENT = [file for file in PRODUCT if file.is_relative_to(REPOSITORY / "agent")]
# What the program, the scripts and the servers have to spell alike.
SHARED = ("agent.states", "agent.check_names", "agent.advice", "agent.amounts")


def named(file: Path) -> str:
    """The module's dotted name."""
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {named(file): file for file in PRODUCT}


def shown(file: Path) -> str:
    return str(file.relative_to(REPOSITORY))


@cache
def imports(file: Path) -> frozenset[str]:
    """The modules a file imports, anywhere in it; a name imported from a package counts as its module if it is one."""

    def found() -> Iterator[str]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{shown(file)} imports relatively; say the whole name"
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield whole if whole in MODULES else str(node.module)

    return frozenset(found())


@pytest.mark.parametrize("file", AGENT, ids=shown)
def test_the_agent_is_written_for_python_3_9(file: Path) -> None:
    """The servers have the Python they came with; a newer word there stops the first step of the window."""
    text = file.read_text()
    ast.parse(text, feature_version=(3, 9))
    assert len(text.splitlines()) < 2 or "from __future__ import annotations" in text, "X | Y in annotations needs it"


@pytest.mark.parametrize("file", AGENT, ids=shown)
def test_the_agent_needs_nothing_but_the_standard_library(file: Path) -> None:
    """Nothing can be installed on a production server on the way."""
    strangers = {name for name in imports(file) if name.partition(".")[0] not in {*sys.stdlib_module_names, "agent"}}
    assert not strangers


@pytest.mark.parametrize("file", PRODUCT, ids=shown)
def test_imports_run_one_way(file: Path) -> None:
    """The program that runs on an operator's machine must not run the servers' code there, and the product knows no lab."""
    room = named(file).partition(".")[0]
    for name in imports(file):
        to = name.partition(".")[0]
        assert to not in ("rehearsal", "tests"), f"{shown(file)} imports {name}"
        if room == "components":
            assert to not in ("scripts", "__main__"), f"{shown(file)} imports {name}"
        if room != "agent" and to == "agent":
            assert name in SHARED, f"{shown(file)} imports {name}; of the agent only {', '.join(SHARED)} are shared"


def test_there_are_no_circles() -> None:
    """Two modules that need each other are one module, and which of them loads first decides whether it works."""
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way, name))
        if name not in done:
            for other in sorted(imports(MODULES[name]) & MODULES.keys()):
                visit(other, (*way, name))
            done.add(name)

    for module in MODULES:
        visit(module, ())


def test_there_is_something_to_look_at() -> None:
    """Looking at no file at all would pass every test above."""
    assert {"agent.states", "agent.hosts_file", "components.settings"} <= MODULES.keys()
