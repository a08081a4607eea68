"""Every server is reached in the way in which the engine will: a file over SFTP, a command whose standard output is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from scripts.fleet_ssh import ask
from scripts.preflight.report import Status
from tests.preflight.answers import BEGAN, FakeFleet, answer, facts, told
from tests.unit.test_fleet_ssh import HOST_KEY, USER_KEY, Forwarding, Servers, settings


class Sftp(asyncssh.SFTPServer):
    """Its root is the test's folder; what is left in it shows."""

    root = Path("/nowhere")

    def __init__(self, chan: Any) -> None:
        super().__init__(chan, chroot=bytes(Sftp.root))


class WithSftp(Servers):
    factory: Any = Sftp

    async def _listen(self) -> int:
        authorized = asyncssh.import_authorized_keys(USER_KEY.export_public_key().decode())
        sshd = await asyncssh.listen(
            "127.0.0.2", 0, server_factory=Forwarding, server_host_keys=[HOST_KEY], authorized_client_keys=authorized,
            process_factory=self._answer, sftp_factory=type(self).factory,
        )  # fmt: skip
        port: int = sshd.get_port()
        await asyncio.start_server(lambda *_: asyncio.sleep(3600), "127.0.0.3", port)
        return port


class WithoutSftp(WithSftp):
    factory = None


@pytest.fixture(params=[WithSftp, WithoutSftp])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers]:
    Sftp.root = tmp_path / "home"
    Sftp.root.mkdir()
    found = request.param()
    yield found
    found.stop()


def test_a_file_is_brought_and_taken_away(servers: Servers, tmp_path: Path) -> None:
    """Without SFTP the first `up` failed at its first step, on a server that preflight called fine."""
    key = tmp_path / "key"
    USER_KEY.write_private_key(str(key))
    ours = settings(servers, str(key))
    (name, *_) = (name for name, one in ours.servers.items() if one.address == "127.0.0.2")
    said = ask(ours, "true", {name: ""}, 5, delivers=True)[name]
    assert said.status is not None, "what can be asked is asked all the same"
    if isinstance(servers, WithoutSftp):
        assert said.delivered
    else:
        assert said.delivered == ""
    assert list(Sftp.root.iterdir()) == []
    assert ask(ours, "true", {name: ""}, 5)[name].delivered is None


def delivering() -> FakeFleet:
    fleet = FakeFleet()
    fleet.answers = {name: replace(one, delivered="") for name, one in fleet.answers.items()}
    return fleet


def test_what_the_report_says() -> None:
    """One server without SFTP, and one whose shell greets: both refuse, and every check of theirs is there."""
    fleet = delivering()
    assert fleet.row("delivery").status is Status.OK
    fleet.answers["db2"] = replace(fleet.answers["db2"], delivered="subsystem request failed")
    greeted = fleet.answers["web1"]
    fleet.answers["web1"] = replace(greeted, output=f"Welcome!\n{greeted.output}bye\n")
    unended = fleet.answers["web2"]
    fleet.answers["web2"] = replace(unended, output=f"Last login: today {unended.output}")
    row = fleet.row("delivery")
    assert row.status is Status.REFUSE
    assert row.outcome.found["db2"] == ["no file can be brought there over SFTP: subsystem request failed"]
    assert "'Welcome!'" in row.outcome.found["web1"][0] and "'Last login: today" in row.outcome.found["web2"][0]
    for name in ("db2", "web1", "web2"):
        assert name in fleet.row("locks").outcome.looked


def test_an_answer_that_was_cut_off_is_told_as_far_as_it_came() -> None:
    """pg_upgrade's check was still under way after 20 s: nothing of DB_A was known."""
    fleet = delivering()
    whole = answer([told(["waits"])], facts(fleet.settings.target.role))
    first = whole.output.splitlines()[0]
    late = replace(whole, status=None, error="it did not answer within 20 s", ended=BEGAN + 20, delivered="")
    fleet.answers["db-a"] = replace(late, output=f'{first}\n{{"checks": [{{"na')
    assert fleet.row("locks").outcome.found["db-a"] == ["waits"]
    assert "db-a" not in fleet.report().silent
    assert "db-a" in fleet.row("ssh").outcome.looked
    assert "db-a" not in fleet.row("delivery").outcome.found
