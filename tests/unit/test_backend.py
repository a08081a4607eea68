"""Where the engine keeps its state: what is safe there, and who is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.settings import Settings
from scripts import backend
from scripts.window import permission
from scripts.window.course import NoWayError
from tests.unit.example_config import config


@pytest.mark.parametrize(
    ("url", "unsafe"),
    [
        ("file:///srv/pgleap", True),
        ("file://~", True),
        ("file:///srv/pgleap?no_tmp_dir=true", True),
        ("file:///srv/pgleap?metadata=", True),
        ("file:///srv/pgleap?metadata=skip", False),
        ("file:///srv/pgleap?no_tmp_dir=true&metadata=skip", False),
        ("s3://bucket/pgleap?region=eu-central-1", False),
        ("gs://bucket", False),
        ("https://state.example.com", False),
    ],
)
def test_a_state_in_files_is_safe_without_metadata_alone(url: str, unsafe: bool) -> None:
    """A backend that is refused for nothing keeps the night from beginning; one that is let pass may end it."""
    assert backend.in_files_with_metadata(url) is unsafe


@pytest.mark.parametrize(
    ("url", "variables", "command"),
    [
        ("file:///srv/pgleap", {}, "pulumi login 'file:///srv/pgleap?metadata=skip'"),
        ("file:///srv/it's", {}, """pulumi login 'file:///srv/it'"'"'s?metadata=skip'"""),
        ("file:///a?no_tmp_dir=true", {}, "pulumi login 'file:///a?no_tmp_dir=true&metadata=skip'"),
        # The variable goes before what was logged in to.
        ("file://~", {"PULUMI_BACKEND_URL": "file://~"}, "export PULUMI_BACKEND_URL='file://~?metadata=skip'"),
    ],
)
def test_the_command_that_is_advised(url: str, variables: dict[str, str], command: str) -> None:
    """A login that the variable overrules changes nothing, and the next refusal is the same."""
    assert backend.without_metadata(url, variables) == command
    assert backend.refusal(url, variables).endswith(f"To do: {command}")
    assert not backend.in_files_with_metadata(command.split("'")[-2])


def window(**more: Any) -> Any:
    """As much of a stack as the permission looks at."""
    return SimpleNamespace(settings=Settings.from_config({**config(), **more}), engine=SimpleNamespace(project=Path()))


def test_the_window_does_not_begin_on_a_state_that_may_become_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writes are refused there is no time for a state that nobody reads. Who accepts it by name has read that."""
    monkeypatch.setattr(backend, "address", lambda _: "file:///srv/pgleap")
    with pytest.raises(NoWayError, match="metadata=skip"):
        permission.refuse_unsafe_state(window())
    permission.refuse_unsafe_state(window(preflight={"accept": {"state": "a trial, thrown away afterwards"}}))
    monkeypatch.setattr(backend, "address", lambda _: "file:///srv/pgleap?metadata=skip")
    permission.refuse_unsafe_state(window())


def test_the_engine_says_where_it_keeps_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is misread looks like a safe one."""
    program = tmp_path / "pulumi"
    program.write_text("""#!/bin/sh\necho '{"user": "me", "url": "file:///srv/pgleap"}'\n""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert backend.address(tmp_path) == "file:///srv/pgleap"
    program.write_text("#!/bin/sh\necho 'error: not logged in' >&2\nexit 1\n")
    with pytest.raises(backend.BackendError, match="not logged in"):
        backend.address(tmp_path)
