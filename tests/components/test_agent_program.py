"""The packed agent: the same bytes from the same sources, whenever and wherever they are packed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent.states import Verb
from components import agent_program as packed
from components.agent_program import PROJECT, agent_program, pack


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The agent's sources in another folder, written at another time and in another order, with other modes."""
    folder = tmp_path / "another place" / "agent"
    folder.mkdir(parents=True)
    for source in sorted((PROJECT / "agent").rglob("*.py"), reverse=True):
        copy = folder / source.relative_to(PROJECT / "agent")
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, copy)
        copy.chmod(0o600)
        os.utime(copy, (1_000_000_000, 1_000_000_000))
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "report.pyc").write_bytes(b"left over")
    return folder


def test_the_same_sources_give_the_same_bytes(elsewhere: Path) -> None:
    """A digest that changes with the checkout would deliver and install the agent on every server, with every colleague."""
    assert pack(elsewhere) == pack(PROJECT / "agent")


def test_another_source_gives_other_bytes(elsewhere: Path) -> None:
    """A digest that stays would leave the old agent on the servers."""
    before = pack(elsewhere)
    with (elsewhere / "report.py").open("a") as file:
        file.write("# another\n")
    changed = pack(elsewhere)
    assert changed != before
    (elsewhere / "report.py").rename(elsewhere / "reports.py")
    assert pack(elsewhere) not in (before, changed)


def test_it_is_named_after_its_content_and_packed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that stays while the content changes is overwritten on a server while it may be running there."""
    monkeypatch.setattr(packed, "BUILT", tmp_path / "built")
    agent_program.cache_clear()
    try:
        program = agent_program()
        assert program.sha256[:16] in program.file.name
        assert program.sha256[:16] in program.delivered
        assert not program.delivered.startswith("/"), "it goes below the home of the SSH user"
        assert [file.name for file in (tmp_path / "built").iterdir()] == [program.file.name]
        written = program.file.stat().st_mtime_ns
        agent_program.cache_clear()
        assert agent_program() == program
        assert program.file.stat().st_mtime_ns == written
    finally:
        agent_program.cache_clear()


def test_it_runs_from_the_one_file_and_holds_every_verb(tmp_path: Path) -> None:
    """A module that was not packed is missed on a server, at the first step that needs it."""
    file = tmp_path / "agent.pyz"
    file.write_bytes(pack(PROJECT / "agent"))
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
    assert names == {"__main__.py", *(str(source.relative_to(PROJECT)) for source in (PROJECT / "agent").rglob("*.py"))}
    assert {f"agent/{verb.value.replace('-', '_')}.py" for verb in Verb} <= names
    # A verb that is not there: it comes as far as the agent's own list of verbs.
    ran = subprocess.run(
        [sys.executable, "-I", str(file), "no-such-verb"],
        input="{}",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode != 0
    assert "no-such-verb" in ran.stderr
