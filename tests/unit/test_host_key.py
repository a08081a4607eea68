"""python -m scripts.host_key: both halves of a key go into the stack's config, and the private one nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.host_keys import host_key_mistakes
from scripts.host_key import KeyNotSetError, app, set_host_key

PULUMI = """#!/bin/sh
printf '%s\\n' "$*" >>"$LOG/argv"
case "$*" in
*"config get"*) [ -e "$LOG/there" ] ;;
*--secret*) cat >"$LOG/private" ;;
*) [ ! -e "$LOG/broken" ] || { echo 'error: no stack' >&2; exit 255; } ;;
esac
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `pulumi` that writes down what it is asked."""
    program = tmp_path / "pulumi"
    program.write_text(PULUMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LOG", str(tmp_path))
    return tmp_path


def asked(log: Path) -> list[str]:
    return [line.split("config ")[1] for line in (log / "argv").read_text().splitlines()]


def test_both_halves_belong_together_and_the_private_one_is_in_no_command_line(log: Path) -> None:
    """A command line is in the process list and the shell's history."""
    public = set_host_key("db-a", project=log)
    private = (log / "private").read_text()
    assert asked(log) == [
        "get --path hostPrivateKeys.db-a",
        "set --path --secret hostPrivateKeys.db-a",
        f"set --path --plaintext servers.db-a.hostKey -- {public}",
    ]
    config = {"servers": {"db-a": {"instance": {"x": 1}, "hostKey": public}}, "hostPrivateKeys": {"db-a": private}}
    assert list(host_key_mistakes(config)) == []
    assert "PRIVATE" not in json.dumps(asked(log))


def test_a_key_that_is_there_is_not_replaced(log: Path) -> None:
    """The instance that was made with it would be a stranger."""
    (log / "there").touch()
    with pytest.raises(KeyNotSetError, match=r"pulumi config rm --path hostPrivateKeys\.db-a"):
        set_host_key("db-a", project=log)
    assert len(asked(log)) == 1


def test_what_went_wrong_is_told_and_nothing_of_the_key(log: Path) -> None:
    """A traceback would show it."""
    (log / "broken").touch()
    said = CliRunner().invoke(app, ["db-a", "--stack", "prod"])
    assert said.exit_code == 2
    assert "error: no stack" in said.output
    assert "PRIVATE" not in said.output
    assert all("--stack prod" in line for line in asked(log))


def test_without_pulumi_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KeyNotSetError, match="install the Pulumi CLI"):
        set_host_key("db-a", project=tmp_path)
