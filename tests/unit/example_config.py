"""A stack config without mistakes, for tests to alter."""

from __future__ import annotations

import base64
import copy
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def host_key(name: str, kind: str = "ssh-ed25519") -> str:
    """A well-formed public key that is `name`'s alone."""
    fields = (kind.encode(), name.encode().ljust(32, b"."))
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"{kind} {base64.b64encode(blob).decode()}"


def _server(name: str, role: str, address: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "address": address, "hostKey": host_key(name), **more}


CONFIG: dict[str, Any] = {
    "phase": "prepare",
    "round": "1",
    "versions": {"old": 15, "new": 17},
    "servers": {
        "db1": _server("db1", "primary", "10.77.0.11"),
        "db2": _server("db2", "replica", "10.77.0.12"),
        "db3": _server("db3", "replica", "10.77.0.13"),
        "db-a": _server("db-a", "target", "10.77.0.14"),
        "db-c": _server("db-c", "new-replica", "10.77.0.15", takesOver="db2"),
        "db-d": _server("db-d", "new-replica", "10.77.0.16", takesOver="db3"),
        "web1": _server("web1", "online", "10.77.0.21", reload="systemctl reload myapp"),
        "web2": _server("web2", "online", "10.77.0.22"),
        "web3": _server("web3", "drained", "10.77.0.23"),
        "worker1": _server("worker1", "worker", "10.77.0.31", tasks=["celery.service"]),
        "worker2": _server("worker2", "worker", "10.77.0.32", tasks=["mail@1.service"], keepUntil="upgrade"),
    },
    "names": {"db1.internal.ln": "db1", "db2.internal.ln": "db2", "db3.internal.ln": "db3"},
    "readsFrom": "db2",
    "ssh": {"user": "deploy", "bastion": {"address": "bastion.example.com", "hostKey": host_key("bastion")}},
    "password": "correct horse",
    "replicationPassword": "battery staple",
}


@cache
def private_key(name: str) -> str:
    """A private host key that is `name`'s alone, in OpenSSH's format: the same text each time, for it holds a random number."""
    key = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def public_half(name: str) -> str:
    """The public half of `private_key(name)`."""
    key = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _instance(size: int) -> dict[str, Any]:
    return {
        "type": "r6i.2xlarge",
        "ami": "ami-0123456789abcdef0",
        "subnetId": "subnet-0123456789abcdef0",
        "volume": {"size": size, "iops": 6000, "throughput": 500},
        "keyName": "operator",
    }


def config_on_ec2() -> dict[str, Any]:
    """The same fleet, with DB_A and two new replicas as instances that the program makes."""
    given = config()
    new = {
        "db-a": {**given["servers"]["db-a"]},
        "db-c": _server("db-c", "new-replica", "10.77.0.15", takesOver="db2"),
        "db-d": _server("db-d", "new-replica", "10.77.0.16", takesOver="db3"),
    }
    for name, server in new.items():
        given["servers"][name] = {**server, "hostKey": public_half(name), "instance": _instance(500)}
    given["aws"] = {
        "region": "eu-central-1",
        "vpcId": "vpc-0123456789abcdef0",
        "sshFrom": ["10.20.9.0/24", "2001:db8::/64"],
        "fleetGroups": ["sg-0123456789abcdef0", "sg-0123456789abcdef1"],
        "tags": {"team": "databases"},
    }
    given["hostPrivateKeys"] = {name: private_key(name) for name in new}
    return given


def config() -> dict[str, Any]:
    """A fresh copy, as the program gets it: top-level scalars are text, objects are decoded."""
    return copy.deepcopy(CONFIG)


REGION = "eu-central-1"
AWS = {
    "region": REGION,
    "vpcId": "vpc-0123456789abcdef0",
    "sshFrom": ["10.77.9.0/24"],
    "fleetGroups": ["sg-0123456789abcdef0"],
}
COMMANDS = {"out": ["./lb", "out", "{address}"], "in": ["./lb", "in", "{server}", "{address}"]}


def target_group(name: str) -> str:
    """A well-formed ARN."""
    return f"arn:aws:elasticloadbalancing:{REGION}:123456789012:targetgroup/{name}/0123456789abcdef"


def balanced() -> dict[str, Any]:
    """The example with a load balancer of AWS's: web3 in a group of instances and one of addresses, and web4, in the latter alone."""
    given = config()
    groups = {"targetGroups": [target_group("web"), target_group("api")], "instanceId": "i-0123456789abcdef3"}
    given["servers"]["web3"].update(groups)
    given["servers"]["web4"] = _server("web4", "drained", "10.77.0.24", targetGroups=[target_group("api")])
    return {**given, "aws": AWS}


def fleet_config() -> dict[str, Any]:
    """The same for a simulated fleet, where more is to be tried: with a replica that commits wait for."""
    return {**config(), "replication": {"synchronousStandbyNames": '"db-c"'}}
