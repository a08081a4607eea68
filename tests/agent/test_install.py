"""The verb `install`: what it puts on a server runs at once, and under any Python."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent.install import INSTALLED, compiled, install
from agent.report import Refusal
from components.agent_program import AgentProgram, agent_program
from tests.agent.fake_server import FakeServer


@pytest.fixture(scope="module")
def program() -> AgentProgram:
    return agent_program()


def changed(content: bytes, ending: str, new: bytes) -> bytes:
    """The archive with what stands in front of each file of `agent/` that ends so."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(packed, "w") as after:
        for entry in before.infolist():
            ours = entry.filename.startswith("agent/") and entry.filename.endswith(ending)
            after.writestr(entry, new + before.read(entry)[len(new) :] if ours else before.read(entry))
    return packed.getvalue()


def runs(archive: Path, content: bytes) -> bool:
    """Whether it comes so far as to read the verb that it is asked for."""
    archive.write_bytes(content)
    said = subprocess.run([sys.executable, "-I", archive, "none"], capture_output=True, text=True, check=False)
    return "none, which this program cannot be asked for" in said.stderr


def test_compiled_modules_are_taken(program: AgentProgram, tmp_path: Path) -> None:
    """Compiled modules that Python does not take cost as much as none, and nobody sees it."""
    content = compiled(program.file.read_bytes())
    assert runs(tmp_path / "a.pyz", content)
    assert runs(tmp_path / "b.pyz", changed(content, ".py", b"no Python ((("))


def test_another_python_takes_the_sources(program: AgentProgram, tmp_path: Path) -> None:
    """After an upgrade of Python a server must not be out of reach for the way back."""
    content = compiled(program.file.read_bytes())
    assert runs(tmp_path / "a.pyz", changed(content, ".pyc", b"\0\0\0\0"))


def test_it_is_installed_once(program: AgentProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written anew each time says `changed` where nothing did."""
    monkeypatch.setattr(FakeServer, "archive", program.file)
    server = FakeServer(tmp_path)
    monkeypatch.setattr(FakeServer, "owner", lambda *_: (os.getuid(), os.getgid()))
    desired = {"server": "db1", "sha256": program.sha256}
    assert install(desired, server)["changed"] == [f"installed {INSTALLED}"]
    assert install(desired, server)["changed"] == []
    with pytest.raises(Refusal, match="have it delivered again"):
        install({**desired, "sha256": "0" * 64}, server)
