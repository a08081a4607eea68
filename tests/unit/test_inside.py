"""What a command inside the image is given, and what becomes of it."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from rehearsal.lab import inside, packages
from rehearsal.lab.place import REPOSITORY, LabError

OWN, ELSEWHERE = REPOSITORY / ".venv", Path("/srv/venv")


def test_a_python_of_its_own_prefix_comes_whole() -> None:
    """Without its library the interpreter does not start there."""
    python = Path("/opt/python")
    assert inside.brought(OWN, python, python / "bin/python3") == [REPOSITORY, python]
    assert inside.brought(ELSEWHERE, python, python / "bin/python3") == [REPOSITORY, ELSEWHERE, python]


def test_of_a_distributions_python_nothing_else_comes_along() -> None:
    """With /usr of this machine its one version of PostgreSQL would hide the image's two."""
    interpreter = Path("/usr/bin/python3.11")
    found = inside.brought(OWN, Path("/usr"), interpreter)
    assert found == [REPOSITORY, interpreter, Path("/usr/bin/python3"), Path(sysconfig.get_path("stdlib"))]


def test_the_command_stays_in_words() -> None:
    """An argument with a space, or one that begins with --, would become another command."""
    command = ["pytest", "-k", "a and b; reboot", "--", "$HOME"]
    assert inside.enters(Path("/the image"), command)[-len(command) - 1 :] == ["--", *command]
    assert "/the image" in inside.enters(Path("/the image"), command)


def test_where_there_can_be_no_lab_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run plainly instead, tests would be skipped inside a run that promised both versions."""
    monkeypatch.setattr(packages, "why_not", lambda: "The lab needs root; run it with sudo.")
    with pytest.raises(LabError, match="needs root"):
        inside.enter(["true"], print)
