"""What EC2 does not tell: it is said, at its place and on stderr, and the exit status is 1; nothing is made up in silence."""

from __future__ import annotations

import pytest
from botocore.config import Config

from components.settings import Settings
from scripts.discover import __main__
from tests.discover.conftest import Discover
from tests.discover.fleet import OPERATORS, Fleet, console_outputs
from tests.unit.example_config import host_key


def test_a_new_fleet_is_proposed_beside_the_old_one(fleet: Fleet, discover: Discover) -> None:
    """DB_A too small for the data, in a zone of its own, or at an address that somebody has: seen when it is too late."""
    fleet.old_databases()
    fleet.servers()
    fleet.let_ssh_in(OPERATORS)
    for number in (13, 14):
        fleet.ec2.create_network_interface(SubnetId=fleet.subnets["a"], PrivateIpAddress=f"10.20.0.{number}")
    printed = discover(new_version=17)
    assert printed.status == 1
    assert all("hostKey" in mistake for mistake in printed.stderr.splitlines() if "servers." in mistake), printed.stderr

    config = printed.config
    proposed = ("db-a", "db2-new", "db3-new")
    assert tuple(config["servers"])[-3:] == proposed
    for name in proposed:
        assert f"python -m scripts.host_key {name}" in printed.stdout
        config["servers"][name]["hostKey"] = host_key(name)
    servers = Settings.from_config({**config, "password": "x", "replicationPassword": "y"}).servers
    # .12 is db2, .13 and .14 are somebody's; .15 goes to DB_A, and no address to two.
    assert [servers[name].address for name in proposed] == ["10.20.0.15", "10.20.0.16", "10.20.1.14"]
    assert [servers[name].takes_over for name in proposed] == [None, "db2", "db3"]
    # The primary's largest data volume has 500 GiB, db2's 400, db3's 600: a copy is no smaller than either.
    instances = [servers[name].instance for name in proposed]
    assert [instance.volume.size for instance in instances if instance] == [500, 500, 600]
    assert {(instance.type, instance.ami) for instance in instances if instance} == {("r6i.2xlarge", fleet.image)}
    assert [instance.subnet_id for instance in instances if instance] == [
        fleet.subnets["a"],
        fleet.subnets["a"],
        fleet.subnets["b"],
    ]
    assert "# There are several data volumes (500 + 100 GiB)" in printed.stdout


def test_an_image_that_is_gone_is_not_proposed(fleet: Fleet, discover: Discover) -> None:
    """`pulumi up` would fail on it days later: instances outlive their image."""
    fleet.old_databases()
    fleet.ec2.deregister_image(ImageId=fleet.image)
    printed = discover()
    assert "ami" not in printed.config["servers"]["db-a"]["instance"]
    assert f"# db1's own, {fleet.image}, is gone. Give one that is there.\n        # ami: ami-..." in printed.stdout


def test_a_host_key_that_no_console_tells(fleet: Fleet, discover: Discover, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host key that is left out in silence would have the first `up` refused, or, made up, talk to a stranger as root."""
    fleet.old_databases()
    fleet.new_databases()
    fleet.servers()
    fleet.let_ssh_in(OPERATORS)
    console_outputs(monkeypatch, silent=("web2",), late=("web3",))
    printed = discover()
    assert printed.status == 1
    assert "pgleap:servers.web2.hostKey: missing" in printed.stderr
    assert "hostKey" not in printed.config["servers"]["web2"]
    assert "    # hostKey: ssh-ed25519 AAAA..." in printed.stdout
    assert printed.config["servers"]["web3"]["hostKey"] == host_key("web3")


def test_hardly_any_tags(fleet: Fleet, discover: Discover) -> None:
    """Whoever begins with roles alone is to see everything that is left to do, at once, and YAML that can be read."""
    fleet.launch("db1", "primary", "10.20.0.11")
    fleet.launch("worker1", "worker", "10.20.1.31")
    fleet.launch("web4", "drained", "10.20.1.24")
    printed = discover(ssh_user=None)
    assert printed.status == 1
    for path in (
        "versions",
        "servers",
        "names",
        "readsFrom",
        "ssh",
        "servers.worker1.tasks",
        "servers.db-a.hostKey",
        "aws",
    ):
        assert f"pgleap:{path}: " in printed.stderr or f"pgleap:{path}." in printed.stderr, path
    for comment in ("pgleap:version,", "pgleap:tasks,", "pgleap:database-names:", "--ssh-user", "--new-version"):
        assert comment in printed.stdout, comment
    assert "# targetGroups: [arn:aws:elasticloadbalancing:...]" in printed.stdout
    assert "# sshFrom: [10.20.9.0/24]" in printed.stdout


def test_servers_that_do_not_run_are_left_out_with_a_word(fleet: Fleet, discover: Discover) -> None:
    """A stopped web server that nobody is told of comes back in the night with hosts that lead to the sealed primary."""
    fleet.old_databases()
    fleet.new_databases()
    fleet.servers()
    fleet.let_ssh_in(OPERATORS)
    fleet.ec2.stop_instances(InstanceIds=[fleet.ids["web2"]])
    printed = discover()
    assert printed.status == 0, printed.stderr
    assert f'{fleet.ids["web2"]} ("web2"): left out, it is stopped' in printed.stderr
    assert "web2" not in printed.config["servers"]


def test_a_role_that_is_none(fleet: Fleet, discover: Discover) -> None:
    """One letter wrong in a tag, and a server that writes is not part of the fleet, with exit status 0."""
    fleet.old_databases()
    fleet.new_databases()
    fleet.servers()
    fleet.let_ssh_in(OPERATORS)
    fleet.launch("web9", "onlin", "10.20.1.29")
    printed = discover()
    assert printed.status == 1
    assert 'its tag pgleap:role says "onlin"; give one of primary, ' in printed.stderr


def test_a_name_on_two_servers(fleet: Fleet, discover: Discover) -> None:
    """The last tag that was read would decide where a name leads on the way back."""
    fleet.old_databases()
    fleet.new_databases()
    fleet.servers()
    fleet.let_ssh_in(OPERATORS)
    fleet.ec2.create_tags(
        Resources=[fleet.ids["db2"]],
        Tags=[{"Key": "pgleap:database-names", "Value": "db2.internal.ln db3.internal.ln"}],
    )
    printed = discover()
    assert printed.status == 1
    assert 'pgleap:names["db3.internal.ln"]: the tags of db2 and db3 have it' in printed.stderr
    assert printed.config["names"] == {"db1.internal.ln": "db1", "db.internal.ln": "db1", "db2.internal.ln": "db2"}


def test_servers_of_one_name_are_told_apart(fleet: Fleet, discover: Discover) -> None:
    """Two keys alike in YAML: the first of the two servers would be gone without a word."""
    fleet.old_databases()
    first, second = (fleet.launch("Web (Auto Scaling)", "online", f"10.20.1.{number}") for number in (40, 41))
    servers = discover().config["servers"]
    assert servers[f"web-auto-scaling-{first}"]["address"] == "10.20.1.40"
    assert servers[f"web-auto-scaling-{second}"]["address"] == "10.20.1.41"


def test_a_tag_is_nobodys_yaml(fleet: Fleet, discover: Discover) -> None:
    """Whoever may set tags must not be able to set what root runs on other servers."""
    fleet.old_databases()
    fleet.launch("web1", "online", "10.20.1.21", reload="true\n    tasks: [x.service]")
    printed = discover()
    assert printed.config["servers"]["web1"]["reload"] == "true\n    tasks: [x.service]"
    assert "pgleap:servers.web1.reload" in printed.stderr


def test_only_one_vpc(fleet: Fleet, discover: Discover) -> None:
    """Staging's servers in the same account, with the same tags, must not become part of production."""
    fleet.old_databases()
    other = Fleet()
    other.launch("staging", "primary", "10.20.0.11")
    assert "staging" not in discover(vpc=fleet.vpc).stdout
    assert "staging" in discover(vpc=other.vpc).stdout
    assert f"# The servers are in several: {fleet.vpc}, {other.vpc}." in discover().stdout


def test_no_fleet_at_all(fleet: Fleet, discover: Discover) -> None:
    """The wrong region, say: a config without servers and exit status 0 would look like an answer."""
    printed = discover()
    assert printed.status == 2
    assert printed.stdout == ""
    assert "running instances with the tag pgleap:role. Found: none in eu-central-1" in printed.stderr


def test_no_answer(discover: Discover, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback of botocore's tells nobody what to do."""
    monkeypatch.setattr(__main__, "PATIENT", Config(retries={"total_max_attempts": 1}))
    printed = discover(endpoint_url="http://127.0.0.1:9")
    assert printed.status == 2
    assert printed.stdout == ""
    assert "To do: see to the region" in printed.stderr
