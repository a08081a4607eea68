"""Names are looked up as those do who serve: not as root, who can read everything."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.check_names import CheckName
from agent.checks import names
from agent.checks.sight import Sight
from agent.hosts_file import hosts_file
from agent.report import Refusal
from agent.server import ORDINARY, Server
from tests.agent.fake_server import FakeServer

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@ROOT
def test_a_program_runs_as_a_user_without_a_group_of_its_name() -> None:
    """On Debian nobody's group is nogroup: each look-up would end in a traceback."""
    assert Server().run("id", "-un", user=ORDINARY).stdout.strip() == ORDINARY
    assert Server().ordinary_user() == ORDINARY


@ROOT
def test_what_root_alone_can_read_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """/etc/hosts of mode 0600: every check was content, and no client found its database."""
    asked: list[Any] = []
    plain = subprocess.run

    def run(argv: Any, **how: Any) -> Any:
        asked.append((argv[0], how["user"]))
        return plain(argv, **how)

    monkeypatch.setattr(subprocess, "run", run)
    assert Server().addresses("127.0.0.1") == ["127.0.0.1"]
    assert asked == [("getent", ORDINARY)]


@pytest.mark.parametrize("file", ["/etc/hosts", "/etc/nsswitch.conf"])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660])
def test_preflight_names_the_file(tmp_path: Path, file: str, mode: int) -> None:
    """Nobody knows from "leads to nowhere" what to mend."""
    server = FakeServer(tmp_path)
    server.programs["getent"] = lambda _: subprocess.CompletedProcess([], 2, "", "")  # type: ignore[assignment,return-value]
    for path, text in (("/etc/hosts", "10.0.0.1 db1\n"), ("/etc/nsswitch.conf", "hosts: files dns\n")):
        server.path(path).parent.mkdir(exist_ok=True)
        server.path(path).write_text(text)
        server.path(path).chmod(0o644)
    server.path(file).chmod(mode)
    (check,) = (one for one in names.CHECKS if one.name is CheckName.NAME_RESOLUTION)
    sight = Sight({"names": {"db1": "10.0.0.1"}, "side": "server"}, server)
    found = check.look(sight)
    assert f"{file} can be read by its owner alone (mode {mode:o})" in found
    assert any("leads to nowhere" in sentence for sentence in found)


def test_the_verb_puts_back_what_nobody_can_read(tmp_path: Path) -> None:
    """It told that names lead to DB_B while every client went on to what it knew."""
    server = FakeServer(tmp_path)
    server.path("/etc").mkdir()
    server.path("/etc/hosts").write_text("10.0.0.1 db1\n")
    server.programs["getent"] = lambda _: subprocess.CompletedProcess([], 2, "", "")  # type: ignore[assignment,return-value]
    with pytest.raises(Refusal, match=r"put back as it was found.*chmod 644"):
        hosts_file({"names": {"db1": "10.0.0.2"}, "hosts": "managed", "server": "web1"}, server)
    assert server.path("/etc/hosts").read_text() == "10.0.0.1 db1\n"
