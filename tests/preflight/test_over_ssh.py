"""The whole way: real SSH on loopback, a shell, a `sudo` that asks nobody, this machine's own python3."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from scripts.preflight import __main__ as script
from scripts.preflight.report import Status
from tests.unit.test_fleet_ssh import USER_KEY, Servers, settings


class Shells(Servers):
    """sshd that runs what it is told."""

    folder = Path("/nowhere")

    @staticmethod
    async def _answer(process: asyncssh.SSHServerProcess[str]) -> None:
        text = await process.stdin.read()
        path = f"{Shells.folder}:{os.environ['PATH']}"
        child = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", str(process.command), stdin=-1, stdout=-1, stderr=-1, env={"PATH": path}
        )
        out, err = await child.communicate(text.encode())
        process.stdout.write(out.decode())
        process.stderr.write(err.decode())
        process.exit(child.returncode or 0)


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[Shells]:
    Shells.folder = tmp_path / "bin"
    Shells.folder.mkdir()
    sudo = Shells.folder / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] && shift && exec "$@"\n')
    sudo.chmod(0o755)
    found = Shells()
    yield found
    found.stop()


def test_a_server_is_asked_over_ssh(shells: Shells, tmp_path: Path) -> None:
    """Quotes, line ends, a standard input of two parts: what works in one shell's hands is not yet right in sshd's."""
    key = tmp_path / "key"
    USER_KEY.write_private_key(str(key))
    ours = settings(shells, str(key))
    # No other server, so that nobody is waited for; and this machine's names are none of the stack's.
    few = {
        name: server if name == "web1" else server.model_copy(update={"lost": True})
        for name, server in ours.servers.items()
    }
    report = script.collect(ours.model_copy(update={"servers": few}), made=True)
    rows = {row.name.value: row for row in report.rows}
    for name in ("ssh", "sudo", "python", "clocks"):
        assert rows[name].status is Status.OK, rows[name]
        assert rows[name].outcome.looked == ["web1"]
    assert "web1" not in report.silent
    assert "db1.internal.ln does not stand in /etc/hosts" in rows["name-resolution"].outcome.found["web1"][0]
    assert report.silent["db1"] == "lost"
