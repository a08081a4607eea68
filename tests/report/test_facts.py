"""What a rehearsal stands on, asked of made-up servers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from rehearsal import facts
from rehearsal.engine.project import Pulumi
from rehearsal.lab.fleet import FLEET, Server
from rehearsal.lab.hosts import Host
from rehearsal.lab.lab import Lab
from rehearsal.stage import Stage


class MadeUpHost:
    """A server that answers what the facts ask for, and nothing else."""

    def __init__(self, server: Server, version: str) -> None:
        self.server = server
        self.name = server.name
        self.version = version
        self.hosts_file = f"# of {server.name}\n"

    def run(self, argv: Sequence[str], user: str | None = None, stdin: str = "") -> str:
        if argv == ["cat", "/etc/hosts"]:
            return self.hosts_file
        assert argv[0] == "psql"
        return {
            facts.VERSION: f"{self.version} (Debian {self.version}-0+deb12u1)\n",
            facts.NAMES_AND_BYTES: "odd|name|8000\nshop|123456\n",
            facts.COUNTS: "400|60|12\n",
        }[stdin]


@pytest.fixture
def it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    hosts = {one.name: MadeUpHost(one, "17.6" if one.role == "target" else "15.18") for one in FLEET}
    lab = Lab.__new__(Lab)
    lab.hosts = cast("dict[str, Host]", hosts)
    monkeypatch.setattr(Pulumi, "version", lambda _: "v3.250.0")
    monkeypatch.setenv("PATH", "/nowhere")
    return Stage(lab, Pulumi(engine=tmp_path, project=tmp_path, home=tmp_path, backend=tmp_path))


def test_what_is_read_before_the_first_move(it: Stage) -> None:
    """A size or version of the wrong server would stand in the headline."""
    found = facts.before(it)
    assert (found.versions.postgres_old, found.versions.postgres_new) == ("15.18", None)
    assert [(one.name, one.bytes, one.relations, one.tables, one.large_objects) for one in found.databases] == [
        ("odd|name", 8000, 400, 60, 12), ("shop", 123456, 400, 60, 12)
    ]  # fmt: skip
    assert [(one.name, one.role) for one in found.fleet] == [(one.name, one.role) for one in FLEET]
    assert {one.server for one in found.hosts_files} == {"web1", "web2", "web3", "web4", "worker1", "worker2"}


def test_stand_ins_are_called_so(it: Stage) -> None:
    """Whoever must agree has to know what was not the real thing."""
    assert facts.before(it).versions.plugins == {
        "command": "stand-in", "aws": "stand-in", "Python language host": "stand-in"
    }  # fmt: skip
    real = it.pulumi.home / "plugins" / "resource-command-v1.2.1" / "pulumi-resource-command"
    real.parent.mkdir(parents=True)
    real.touch(0o755)
    assert facts.before(it).versions.plugins["command"] == "real"


def test_what_has_changed_after_the_last_move(it: Stage) -> None:
    """The file of one server must not stand as the other's, nor the new one as the old."""
    found = facts.before(it)
    cast("MadeUpHost", it.lab.host("web1")).hosts_file = "# moved\n"
    after = facts.after(it, found)
    assert [(one.server, one.before, one.after) for one in after.hosts_files if one.before != one.after] == [
        ("web1", "# of web1\n", "# moved\n")
    ]
    assert after.versions.postgres_new == "17.6"


def test_a_server_that_was_not_upgraded_has_no_new_version(it: Stage) -> None:
    """A run that stopped before the upgrade must not claim one."""
    cast("MadeUpHost", it.lab.host("db-a")).version = "15.18"
    assert facts.after(it, facts.before(it)).versions.postgres_new is None


def test_the_machine_bears_no_name() -> None:
    """A committed report goes out into the world."""
    found = facts.machine()
    assert found.cores >= 1
    assert found.memory > 10**8
    assert set(found.model_dump()) == {"system", "kernel", "processor", "cores", "memory"}
