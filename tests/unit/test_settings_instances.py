"""Servers that the program makes on EC2: what the stack config must say of them, and the keys that it must hold."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pulumi.runtime import config as runtime_config
from pulumi.runtime import set_all_config

from components.config_errors import SettingsError
from components.host_keys import host_key_mistakes
from components.settings import SECRETS, Settings
from components.stack_config import load
from tests.unit.example_config import config_on_ec2, host_key, private_key

REMOVED = object()


def altered(where: str, value: Any) -> dict[str, Any]:
    given = config_on_ec2()
    *parents, last = where.split(".")
    here = given
    for parent in parents:
        here = here[parent]
    if value is REMOVED:
        del here[last]
    else:
        here[last] = value
    return given


@pytest.mark.parametrize(
    ("where", "value", "path", "says"),
    [
        ("aws", REMOVED, "pgleap:aws", "missing; db-a, db-c, db-d ask for an instance"),
        ("aws.region", REMOVED, "pgleap:aws.region", "missing; give the region"),
        ("aws.vpcId", REMOVED, "pgleap:aws.vpcId", "missing; db-a, db-c, db-d ask for an instance, give the VPC"),
        ("aws.fleetGroups", REMOVED, "pgleap:aws.fleetGroups", "give security groups whose servers may reach PostgreSQL"),
        ("aws.vpcId", "vpc-1", "pgleap:aws.vpcId", "is not an id of AWS; give one such as vpc-"),
        ("aws.sshFrom", ["0.0.0.0/0"], "pgleap:aws.sshFrom[0]", "is the whole internet"),
        ("aws.sshFrom", ["::/0"], "pgleap:aws.sshFrom[0]", "is the whole internet"),
        ("aws.sshFrom", "10.0.0.0/8", "pgleap:aws.sshFrom", "write it as a list"),
        ("aws.keepDatabases", "perhaps", "pgleap:aws.keepDatabases", "is not true or false"),
        ("servers.db-a.address", "2001:db8::1", "pgleap:servers.db-a.address", "is not an IPv4 address"),
        ("servers.db-a.hostKey", host_key("x", "ssh-rsa"), "pgleap:servers.db-a.hostKey", "a key of type ssh-ed25519"),
        ("servers.db-a.instance.ami", "debian", "pgleap:servers.db-a.instance.ami", "give one such as ami-"),
        ("servers.db-a.instance.volume", {}, "pgleap:servers.db-a.instance.volume.size", "missing; give its size in GiB"),
        ("servers.db-a.instance.volume.iops", 100, "pgleap:servers.db-a.instance.volume.iops", "from 3000 on"),
        ("servers.db-a.instance.volume", {"size": 10, "iops": 6000}, "pgleap:servers.db-a.instance.volume.iops", "more than 500 for each"),
        ("servers.db-a.instance.volume.throughput", 2000, "pgleap:servers.db-a.instance.volume.throughput", "need 8000 iops"),
        ("servers.db1.instance", {"type": "t3.micro"}, "pgleap:servers.db1.instance", "only target, new-replica can"),
    ],
)  # fmt: skip
def test_each_mistake_is_reported_where_it_is(where: str, value: Any, path: str, says: str) -> None:
    """EC2 finds it only once it makes the instance: half the fleet is there by then, in the middle of a phase."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_config(altered(where, value))
    assert any(line.startswith(f"{path}: ") and says in line for line in refused.value.mistakes), refused.value


def test_an_instance_needs_its_host_key_also_where_unknown_ones_are_accepted() -> None:
    """It would be made with a key of its own, and whoever answers first at its address gets root's work."""
    given = altered("servers.db-a.hostKey", REMOVED)
    given["acceptUnknownHostKeys"] = True
    with pytest.raises(SettingsError, match=r"pgleap:servers.db-a.hostKey: an instance is made with a key"):
        Settings.from_config(given)


def test_target_groups_alone_need_no_more_than_a_region() -> None:
    """Who makes no instance would have to invent a VPC."""
    given = config_on_ec2()
    for server in given["servers"].values():
        server.pop("instance", None)
    given["aws"] = {"region": given["aws"]["region"]}
    aws = Settings.from_config(given).aws
    assert aws is not None
    assert aws.vpc_id is None


def test_a_good_fleet_on_ec2_is_no_mistake() -> None:
    """Checks that refuse everything would pass every test above."""
    settings = Settings.from_config(config_on_ec2())
    assert settings.target.instance is not None
    assert settings.target.instance.volume.throughput == 500
    assert list(host_key_mistakes(config_on_ec2())) == []


def rsa() -> str:
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def with_passphrase() -> str:
    """A key that says of itself that it has one (PROTOCOL.key of OpenSSH: cipher and key derivation come first)."""
    first, *lines, last = private_key("db-a").strip().splitlines()
    none, some = b"\0\0\0\x04none\0\0\0\x04none", b"\0\0\0\x0aaes256-ctr\0\0\0\x06bcrypt"
    content = base64.b64decode("".join(lines))
    assert none in content
    return "\n".join([first, base64.b64encode(content.replace(none, some)).decode(), last])


@pytest.mark.parametrize(
    ("key", "path", "says"),
    [
        (REMOVED, "pgleap:hostPrivateKeys.db-a", "missing; run `python -m scripts.host_key db-a`"),
        ("", "pgleap:hostPrivateKeys.db-a", "missing"),
        ("ssh-ed25519 AAAA", "pgleap:hostPrivateKeys.db-a", "not a private key of type ssh-ed25519"),
        (private_key("db-a")[:-60], "pgleap:hostPrivateKeys.db-a", "not a private key"),
        (with_passphrase(), "pgleap:hostPrivateKeys.db-a", "without a passphrase"),
        (rsa(), "pgleap:hostPrivateKeys.db-a", "of type ssh-ed25519"),
        (private_key("db-c"), "pgleap:servers.db-a.hostKey", "not the public half of pgleap:hostPrivateKeys.db-a"),
    ],
)
def test_a_private_key_that_is_none_or_another_ones_is_found(key: Any, path: str, says: str) -> None:
    """The instance would boot with it, and every step would wait ten minutes for a server that it does not believe."""
    (found,) = host_key_mistakes(altered("hostPrivateKeys.db-a", key))
    assert found.startswith(f"{path}: ")
    assert says in found
    assert "PRIVATE" not in found


def test_a_key_of_no_instance_is_found() -> None:
    """A mistyped name is a secret that nobody misses, and one that is missing elsewhere."""
    (found,) = host_key_mistakes(altered("hostPrivateKeys.db-x", private_key("db-x")))
    assert found.startswith("pgleap:hostPrivateKeys.db-x: there is no server of this name with an instance")
    (found,) = host_key_mistakes({**config_on_ec2(), "hostPrivateKeys": "-----BEGIN"})
    assert found.startswith("pgleap:hostPrivateKeys: is not a map")


@pytest.fixture
def _config_of_its_own() -> Iterator[None]:
    token, secrets = runtime_config.CONFIG.set({}), runtime_config._SECRET_KEYS.set(set())
    yield
    runtime_config.CONFIG.reset(token)
    runtime_config._SECRET_KEYS.reset(secrets)


@pytest.mark.usefixtures("_config_of_its_own")
def test_private_keys_in_plain_text_are_refused_with_the_other_mistakes() -> None:
    """Pulumi encrypts only what it is told to; a key in the repository makes every server of that key anybody's."""
    given = altered("readsFrom", "db1")
    text = {f"pgleap:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    set_all_config(text, ["pgleap:password"])
    with pytest.raises(pulumi.RunError, match="pgleap:hostPrivateKeys: stands in plain text") as refused:
        load()
    assert "pgleap:readsFrom" in str(refused.value)
    assert "OPENSSH" not in str(refused.value)
    set_all_config({**text, "pgleap:readsFrom": "db2"}, [f"pgleap:{key}" for key in SECRETS])

    async def keys() -> dict[str, tuple[str | None, bool]]:
        loaded = load().secrets.host_private_keys
        return {name: (await key.future(), await key.is_secret()) for name, key in loaded.items()}

    assert asyncio.run(keys()) == {name: (private_key(name), True) for name in ("db-a", "db-c", "db-d")}
