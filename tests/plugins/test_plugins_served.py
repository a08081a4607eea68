"""Which stand-ins are served, and how the engine is told of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rehearsal.plugins.serve import Wanted, missing, serving
from tests.plugins.simulated import Servers

REPOSITORY = Path(__file__).resolve().parents[2]


def installed(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


@pytest.fixture(autouse=True)
def bare_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def test_without_real_plugins_both_are_served(tmp_path: Path) -> None:
    """The rehearsal must work where nothing can be had."""
    assert missing(tmp_path / "engine", tmp_path / "home") == Wanted(command=True, language=True)


def test_a_real_command_plugin_is_used_instead(tmp_path: Path) -> None:
    """A rehearsal with the real plugin proves more."""
    installed(tmp_path / "home/plugins/resource-command-v1.2.1/pulumi-resource-command")
    assert missing(tmp_path / "engine", tmp_path / "home") == Wanted(command=False, language=True)


def test_a_plugin_that_is_half_installed_or_of_another_kind_does_not_count(tmp_path: Path) -> None:
    """The engine would try to download it again, and fail."""
    installed(tmp_path / "home/plugins/resource-command-v0.11.1/pulumi-resource-command")
    installed(tmp_path / "home/plugins/resource-command-v1.2.1/pulumi-resource-command")
    (tmp_path / "home/plugins/resource-command-v1.2.1.partial").write_text("")
    assert missing(tmp_path / "engine", tmp_path / "home").command


def test_a_real_language_host_beside_the_engine_is_used_instead(tmp_path: Path) -> None:
    """The vendor's installer brings one."""
    installed(tmp_path / "engine/pulumi-language-python")
    assert missing(tmp_path / "engine", tmp_path / "home") == Wanted(command=True, language=False)


def test_only_what_is_served_is_announced() -> None:
    """A port that the engine is told of and nobody serves fails every command."""
    with serving(Servers(), Wanted(command=False)) as variables:
        assert variables["PULUMI_DEBUG_LANGUAGES"].startswith("python:")
        assert "PULUMI_DEBUG_PROVIDERS" not in variables
        assert variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"


def test_the_process_writes_its_variables_and_ends_when_told(tmp_path: Path) -> None:
    """`source` must find the whole file or none, and a lab that goes down must leave no process."""
    env_file = tmp_path / "plugins.env"
    child = subprocess.Popen(
        [sys.executable, "-m", "rehearsal.plugins.serve", "--env-file", env_file],
        cwd=REPOSITORY,
        env={**os.environ, "PULUMI_HOME": str(tmp_path)},
    )
    try:
        deadline = time.monotonic() + 30
        while not env_file.exists():
            assert child.poll() is None, "it ended before it was ready"
            assert time.monotonic() < deadline, "it was not ready in time"
            time.sleep(0.05)
        lines = env_file.read_text().splitlines()
        assert [line.partition("=")[0] for line in lines] == [
            "export PULUMI_DEBUG_LANGUAGES",
            "export PULUMI_DEBUG_PROVIDERS",
            "export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION",
            "export PULUMI_SKIP_UPDATE_CHECK",
        ]
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
