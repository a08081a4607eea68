"""The bench of hosts files, as far as it is pure: what tools are given, whether they did it, what the figures come to."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from rehearsal.bench.hosts_files import light, network, rendering
from rehearsal.bench.hosts_files.figures import HostsFiles, Tool, span
from rehearsal.bench.hosts_files.reading import leads_elsewhere
from rehearsal.bench.hosts_files.table import table
from rehearsal.lab.fleet import hosts_file
from rehearsal.report.model import Step
from tests.bench import made_up

FLEET = light.fleet(3)
BEFORE = hosts_file(FLEET.clients[0], FLEET)
THERE = "10.78.255.4"


def wrong(now: str) -> list[str]:
    return leads_elsewhere(BEFORE, now, FLEET.names, THERE)


def test_sed_leads_the_names_elsewhere_and_nothing_else(tmp_path: Path) -> None:
    """A tool that is told to change less than the others looks faster than it is."""
    file = tmp_path / "hosts"
    file.write_text(BEFORE)
    command = rendering.sed(FLEET.names, THERE).removeprefix("sudo -n ").replace("/etc/hosts", str(file))
    subprocess.run(["sh", "-c", command], check=True)
    assert wrong(BEFORE)
    assert wrong(file.read_text()) == []


def test_ansible_replaces_the_same(tmp_path: Path) -> None:
    """Its regular expressions are Python's, in which other words mean a blank."""
    (play,) = yaml.safe_load(rendering.ansible_playbook(FLEET.names))
    (task,) = play["tasks"]
    replace = task["ansible.builtin.replace"]
    assert replace["path"] == "/etc/hosts"
    assert wrong(re.sub(replace["regexp"], replace["replace"].replace("{{ address }}", THERE), BEFORE)) == []
    assert (play["gather_facts"], play["become"]) == (False, True)


def test_every_host_is_in_the_inventories() -> None:
    """A host that an inventory leaves out costs that tool nothing."""
    names = {server.name: server.address for server in FLEET.clients}
    inventory = yaml.safe_load(rendering.ansible_inventory(FLEET.clients))
    assert {name: host["ansible_host"] for name, host in inventory["all"]["hosts"].items()} == names
    given: dict[str, Any] = {}
    exec(rendering.pyinfra_inventory(FLEET.clients, Path("/key"), Path("/known")), given)
    assert [address for address, _ in given["hosts"]] == list(names.values())
    compile(rendering.pyinfra_deploy(FLEET.names, THERE), "deploy.py", "exec")


def test_ansible_is_set_up_as_the_page_says() -> None:
    """Ansible without pipelining takes twice as long, and a comparison with it would be none."""
    text = rendering.ansible_configuration(Path("/a folder/config"), 20)
    assert "forks = 20" in text
    assert "pipelining = True" in text
    assert "-F '/a folder/config' -o KexAlgorithms=curve25519-sha256 -o ControlMaster=auto" in text


def test_known_hosts_by_address() -> None:
    """pyinfra dials addresses, and would not know a single host."""
    assert rendering.known_by_address(["web000,10.78.0.11 ssh-ed25519 AAAA", ""]) == "10.78.0.11 ssh-ed25519 AAAA\n"


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (BEFORE, "leads to 10.78.255.1"),
        (BEFORE.replace("10.78.255.", "10.78.255.4#"), "leads to nothing"),
        (re.sub(r"10\.78\.255\.\d", THERE, BEFORE) + "10.78.255.1 db1.internal.ln\n", "10.78.255.4 and 10.78.255.1"),
        (re.sub(r"10\.78\.255\.\d", THERE, BEFORE).replace("127.0.0.1\tlocalhost\n", ""), "localhost' is gone"),
    ],
    ids=["as it was", "commented out", "twice", "another line lost"],
)
def test_a_file_that_is_not_as_it_must_be(now: str, said: str) -> None:
    """A run that changed nothing, or broke the file, is the fastest of all."""
    assert said in "; ".join(wrong(now))


def test_every_host_has_an_address_of_its_own() -> None:
    """Two hosts at one address would be one host that is changed twice."""
    addresses = {network.address(number) for number in range(1000)}
    assert len(addresses) == 1000
    assert not addresses & {network.MACHINE, *(server.address for server in light.DATABASES)}


def test_the_span_is_of_hosts_files_alone() -> None:
    """The time that an engine takes before its first step and after its last would count twice."""
    steps = [
        Step(name="db1-announce", began=1.0, ended=2.0),
        Step(name="others-hosts-files", began=3.0, ended=7.0),
        Step(name="db1-finish", began=7.0, ended=9.0),
    ]
    assert span(steps) == 4.0
    for bad in ([], [*steps, Step(name="more-hosts-files", began=4.0, ended=None)]):
        with pytest.raises(ValueError, match="expected steps of hosts files"):
            span(bad)


def test_what_each_further_host_costs() -> None:
    """A slope between the wrong two counts, or of means, would tell of the machine's bad moments."""
    assert made_up.hosts_files().per_host(Tool.SSH) == pytest.approx(0.01)
    assert made_up.hosts_files().per_host(Tool.SSH, "span") is None
    assert made_up.hosts_files((200,)).per_host(Tool.SSH) is None
    assert made_up.hosts_files().window_behind(Tool.SSH) == pytest.approx(2.0)
    assert made_up.hosts_files().per_host(Tool.SSH, "own_cpu") == pytest.approx(0.02)


def test_the_table_has_every_tool() -> None:
    """A page without one of them would claim a comparison that was not made."""
    lines = table(made_up.hosts_files())
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 1 + len(Tool)
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert "| pyinfra 3.10 | 1.1 s | 1.4 s | 3.0 s | 10 ms | 1.5 s | 9.0 s | 6.0 s |" in rows
    assert "2.0 s longer than plain `ssh` with `sed`" in lines[-1]


def test_figures_are_read_back_and_nothing_unknown_with_them() -> None:
    """results.json of another release would be shown as this one's."""
    assert HostsFiles.model_validate_json(made_up.hosts_files().model_dump_json()) == made_up.hosts_files()
    with pytest.raises(ValidationError):
        HostsFiles.model_validate({**made_up.hosts_files().model_dump(), "speed": 1})
