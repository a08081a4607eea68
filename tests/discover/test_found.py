"""What is made of EC2's answers, and of a subnet: rules that moto cannot show, or not in all their cases."""

from __future__ import annotations

import pytest

from scripts.discover.found import Disk, addresses_of, host_key_in, server_name
from scripts.discover.lines import document
from scripts.discover.proposal import free_address, instance
from tests.discover.fleet import CONSOLE
from tests.discover.machines import a_fleet, a_machine
from tests.unit.example_config import host_key

ECDSA, ED25519 = host_key("db1", "ecdsa-sha2-nistp256"), host_key("db1")


def test_the_last_boots_ed25519_key_counts() -> None:
    """The key of an instance's image, printed before its own was made, is every server's that came from it."""
    first = CONSOLE.format(ecdsa=ECDSA, ed25519=host_key("image"))
    assert host_key_in(first + CONSOLE.format(ecdsa=ECDSA, ed25519=ED25519)) == ED25519


def test_a_key_that_the_kernel_wrote_into_is_passed_over() -> None:
    """Half a key is taken by no server: the first `up` would say that somebody else answers."""
    torn = f"{ED25519[:40]}[   12.2] random: crng init done\n{ED25519[40:]}"
    assert host_key_in(CONSOLE.format(ecdsa=ECDSA, ed25519=torn)) == ECDSA
    assert host_key_in(CONSOLE.format(ecdsa="", ed25519=torn)) is None
    assert host_key_in(f"{ED25519}\nno block around it") is None


def test_a_key_that_the_config_refuses_is_not_proposed() -> None:
    """The proposal would be refused as it stands, and the engine's provider would reach no server by it."""
    rsa = host_key("db1", "ssh-rsa")
    assert host_key_in(CONSOLE.format(ecdsa=rsa, ed25519="")) is None
    assert host_key_in(CONSOLE.format(ecdsa=rsa, ed25519=ED25519)) == ED25519


@pytest.mark.parametrize(
    ("text", "name"),
    [("DB 1", "db-1"), ("prod/web_03", "prod-web-03"), ("-Ünï-", "n"), ("***", ""), ("x" * 80, "x" * 63)],
)
def test_a_name_tag_becomes_a_servers_name(text: str, name: str) -> None:
    """A name that the program does not take, of a server that is otherwise known whole."""
    assert server_name(text) == name


@pytest.mark.parametrize(
    ("behind", "taken", "free"),
    [
        ("10.0.0.5", {"10.0.0.5"}, "10.0.0.6"),
        ("10.0.0.5", {"10.0.0.5", "10.0.0.6"}, "10.0.0.7"),
        # .15 is kept by AWS, and so are .0 to .3.
        ("10.0.0.14", {"10.0.0.14"}, "10.0.0.4"),
        ("10.0.0.5", {f"10.0.0.{last}" for last in range(4, 15)}, None),
    ],
)
def test_the_first_address_that_is_free(behind: str, taken: set[str], free: str | None) -> None:
    """An address that AWS keeps for itself: the instance cannot be made, and says so only in `up`."""
    assert free_address("10.0.0.0/28", behind, frozenset(taken)) == free


def test_a_prefix_is_sixteen_addresses() -> None:
    """Containers' addresses come by prefixes: one of them would be proposed for DB_A, and EC2 refuses it in `up`."""
    held = addresses_of(
        {"PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.5"}], "Ipv4Prefixes": [{"Ipv4Prefix": "10.0.0.16/28"}]}
    )
    assert list(held) == ["10.0.0.5", *(f"10.0.0.{last}" for last in range(16, 32))]


def test_a_faster_volume_is_proposed_as_fast_as_gp3_can_be() -> None:
    """A DB_A at a tenth of the old primary's speed stands the rehearsal's data, and not the first morning."""
    root, data = (
        Disk(20, 3000, 125, root=True, kms_key_id=None),
        Disk(100, 64000, 1000, root=False, kms_key_id="arn:key"),
    )
    written = document([instance(a_fleet(), a_machine(), (root, data), 100)])
    assert [line.strip() for line in written.splitlines()[-4:]] == [
        "size: 100",
        # EC2 makes no gp3 volume with more than 500 a GiB.
        "iops: 50000",
        "throughput: 1000",
        "kmsKeyId: arn:key",
    ]


def test_a_primary_without_ebs() -> None:
    """Data on instance store has no size that EC2 would tell; 20 GiB, the root volume's, would be made up."""
    written = document([instance(a_fleet(), a_machine(), (), 0)])
    assert "    # size: 500" in written
    assert "  # volume:" in written
