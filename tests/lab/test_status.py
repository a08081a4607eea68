"""`scripts/status` before anything was prepared, and with servers that do not answer. The fleet is left as it was found.

What it says in each phase is looked at where the phases are: test_upgrade.py and test_z_status.py.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rehearsal.lab.fleet import FLEET
from rehearsal.stage import Stage
from tests.lab.status_seen import found, status

pytestmark = pytest.mark.lab

# Who is looked at: before `replicas` the new ones need not even exist.
BEFORE_REPLICAS = [one for one in FLEET if one.role != "new-replica"]

DEADLINE = 15


def traces(it: Stage) -> dict[str, str]:
    """What pgleap would leave behind on each server: its files, and whatever lies in the home of the SSH user."""
    look = "find /var/lib/pgleap /usr/local/lib/pgleap /home/deploy -type f 2>/dev/null | sort; true"
    return {name: host.run(["sh", "-c", look]) for name, host in it.lab.hosts.items()}


@contextmanager
def without_ssh(it: Stage, name: str, signal: str) -> Iterator[None]:
    """sshd of that server stopped ("STOP": it accepts and stays mute), or ended ("TERM": nobody is there)."""
    host = it.lab.host(name)
    main = host.run(["systemctl", "show", "--property=MainPID", "--value", "ssh.service"]).strip()
    host.run(["kill", f"-{signal}", main])
    try:
        yield
    finally:
        host.run(["sh", "-c", f"kill -CONT {main} 2>/dev/null; systemctl start ssh.service"])


def test_before_prepare_every_server_says_so_and_nothing_is_left_there(on_stage: Stage) -> None:
    """Who looks before the first `up` must neither get a traceback nor leave anything on a production server."""
    before = traces(on_stage)
    report = found(on_stage)
    assert report["finished"] == {}
    assert sorted(report["drift"]) == sorted(f"{one.name}: pgleap is not on this server yet" for one in BEFORE_REPLICAS)
    table = status(on_stage)
    assert table.returncode == 1
    assert "nothing finished yet" in table.stdout
    assert traces(on_stage) == before


def test_a_server_that_is_mute_and_one_that_is_gone_are_rows(on_stage: Stage) -> None:
    """On the night, the one server that hangs must not take away the sight of the nine that answer; nor may it hang itself."""
    with without_ssh(on_stage, "web4", "STOP"), without_ssh(on_stage, "web3", "TERM"):
        sentences: list[str] = found(on_stage, "--deadline", f"{DEADLINE}")["drift"]
    assert f"web4: not reached: it did not answer within {DEADLINE} s" in sentences
    assert "web3: not reached: Connection refused" in sentences
    assert "web1: pgleap is not on this server yet" in sentences
    assert len(sentences) == len(BEFORE_REPLICAS)


def test_without_a_stack_it_says_what_to_do(on_stage: Stage) -> None:
    """A traceback of the command line's own would be read as "the fleet is broken"."""
    said = status(on_stage, "--stack", "nowhere")
    assert said.returncode == 2
    assert said.stdout == ""
    assert "To do: pulumi stack select" in said.stderr


def test_what_it_prints_for_programs_is_json_alone(on_stage: Stage) -> None:
    """One line of something else, and the monitoring that reads it is blind."""
    report = json.loads(status(on_stage, "--json").stdout)
    assert set(report) == {"phase", "round", "finished", "drift", "wayBack", "servers"}
    assert set(report["servers"]) == {one.name for one in BEFORE_REPLICAS}
